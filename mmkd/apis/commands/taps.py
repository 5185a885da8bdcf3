"""Lists every module of a network that a distillation loss may tap: what it gives, when, and what it costs.

The network of the config (of a distillation config, the student) runs with random weights on made-up images. Of each
module the table has the name that ``taps`` takes, how often it is called, stride and channels and shapes of what it
gives in eval and in train, whether an in-place operation writes over that later, and its share of a forward's time.

examples:
  mmkd taps mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --depth 2
  mmkd taps mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py --input 256x256
"""

import argparse

HELP = 'list what can be tapped in a network: names, calls, shapes, strides, cost'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config of the network, a file or package::path')
    parser.add_argument(
        '--input', type=_size, metavar='HxW', help='size of the images; default that of the config, else 512x512'
    )
    parser.add_argument('--depth', type=int, help='only modules of so many parts in their names: backbone.layer1 has 2')
    parser.add_argument('--json', action='store_true', help='print all of it as JSON')
    parser.add_argument('--device', default='cpu', help='default %(default)s')


def _size(text: str) -> tuple[int, int]:
    sides = text.split('x')
    if len(sides) not in (1, 2) or not all(side.isdigit() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f'a height and a width were expected, as 512x512, got {text!r}')
    return int(sides[0]), int(sides[-1])


def run(args: argparse.Namespace) -> None:
    import json

    from mmkd.apis import taps
    from mmkd.apis.config import read_config
    from mmkd.apis.errors import user_errors
    from mmkd.distillation.taps.survey import survey

    cfg = read_config(args.config)
    with taps.quietly():
        with user_errors('building the network', cfg):
            network = taps.network_of(cfg)
        with user_errors('taps'):
            found = survey(network, args.input or taps.input_size(cfg), args.device)
    print(json.dumps(taps.as_dict(found, args.depth)) if args.json else taps.as_table(found, args.depth))
