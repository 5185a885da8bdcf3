"""Converts a VoVNet of timm into the backbone of a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file, .pth or .safetensors')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::centermask/...')
    parser.add_argument(
        '--fold-normalization',
        action='store_true',
        help="change the first convolution so that it takes images as the config's data_preprocessor gives them",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.config import resolve_config
    from mmkd.apis.errors import user_errors
    from mmkd.converters import VOVNET_TIMM, convert_file, fold_normalization, note_normalization

    config = resolve_config(args.config)
    normalization = fold_normalization if args.fold_normalization else note_normalization
    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, config, VOVNET_TIMM, normalization)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
