"""Converts an ESPNet or ESPNet-C of structured knowledge distillation for the model of a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::espnet/...')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.utils import cli
    from mmkd.utils.converters import convert_file
    from mmkd.utils.converters.espnet import ESPNET

    config = cli.resolve_config(args.config)
    with cli.user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, config, ESPNET)))


if __name__ == '__main__':
    from mmkd.utils.cli import run_tool

    run_tool(main)
