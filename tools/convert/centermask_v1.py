"""Converts a CenterMask detector of maskrcnn-benchmark for the model of a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::centermask/...')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.config import resolve_config
    from mmkd.apis.errors import user_errors
    from mmkd.converters import CENTERMASK_V1, convert_file

    config = resolve_config(args.config)
    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, config, CENTERMASK_V1)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
