"""Converts a PSPNet of structured knowledge distillation, or the ImageNet file of its ResNet, for a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file, of a teacher or of a student')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::pspnet/...')
    parser.add_argument(
        '--plain-norm',
        action='store_true',
        help='leave the weights of norms as they are: for ImageNet files, which were trained with ordinary batch norm; '
        'without it they become |weight| + 1e-5, which is what in-place activated batch norm scales by',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.config import resolve_config
    from mmkd.apis.errors import user_errors
    from mmkd.converters import convert_file
    from mmkd.converters.skd_pspnet import SKD_PSPNET, SKD_PSPNET_PLAIN_NORM

    config = resolve_config(args.config)
    family = SKD_PSPNET_PLAIN_NORM if args.plain_norm else SKD_PSPNET
    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, config, family)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
