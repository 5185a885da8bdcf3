"""Converts an ImageNet MobileNetV2 under torchvision's names into the backbone of a config."""

import argparse

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='the checkpoint file, .pth or .safetensors')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--config', required=True, help='config of the model, a file or mmkd::pspnet/...')
    parser.add_argument(
        '--mean',
        nargs=3,
        type=float,
        default=[123.675, 116.28, 103.53],
        metavar=('R', 'G', 'B'),
        help='what was subtracted from the images the weights were trained on, 0 to 255. Default: ImageNet, as in '
        'torchvision; TensorFlow and what was ported from it use 127.5 127.5 127.5',
    )
    parser.add_argument(
        '--std',
        nargs=3,
        type=float,
        default=[58.395, 57.12, 57.375],
        metavar=('R', 'G', 'B'),
        help="what they were divided by. Where the config's data_preprocessor differs from --mean, --std or RGB, the "
        'first convolution is changed so that the network computes the same',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis.config import resolve_config
    from mmkd.apis.errors import user_errors
    from mmkd.converters import convert_file
    from mmkd.converters.mobilenetv2 import MOBILENETV2_TORCHVISION, fold_input

    config = resolve_config(args.config)
    transform = fold_input(args.mean, args.std)
    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, config, MOBILENETV2_TORCHVISION, transform)))


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
