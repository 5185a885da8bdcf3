"""Converts a DeepLabV3+ of pytorch-deeplab-xception or of DeepLabV3+-KD, teacher or student, for a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file, of a teacher or of a student')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::deeplabv3plus_kd/...')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.config import resolve_config
    from mmkd.apis.errors import user_errors
    from mmkd.converters import convert_file
    from mmkd.converters.deeplab_xception import DEEPLAB_XCEPTION

    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, resolve_config(args.config), DEEPLAB_XCEPTION)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
