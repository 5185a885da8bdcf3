"""Writes a trained model as one ONNX file that takes raw images and gives final results, and compares both.

The file takes uint8 images (1, height, width, 3) of any size. It resizes and normalises them, finds and suppresses
boxes, and says in its metadata what classes, colours and thresholds it has. It is compared with the model on real
images, object by object, by onnxruntime, and by OpenVINO where that is installed; what fails is not kept.

example:
  mmkd export mmkd::centermask/centermask-lite_v19_fpn_ms-4x_coco.py iter_360000_student.pth student.onnx --dataset
  mmkd export iter_360000_student.pth student.onnx --images photos      # the file carries its config
"""

import argparse

HELP = 'write a model as an ONNX file, compared with the model object by object'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    from mmkd.apis.config import add_cfg_options

    parser.add_argument(
        'model', nargs='+', metavar='CONFIG CHECKPOINT', help='or a student-only file, which carries its config'
    )
    parser.add_argument('out', metavar='OUT.onnx', help='the file to write')
    parser.add_argument('--images', help='real images to check on, a folder or a file; default: the test set')
    parser.add_argument('--number', type=int, default=8, help='how many of them; default %(default)s')
    parser.add_argument(
        '--dataset',
        nargs='?',
        type=int,
        const=0,
        metavar='N',
        help='compare the metrics on the whole test set as well, or on N images of it',
    )
    parser.add_argument('--max-drop', type=float, help='points they may be apart; default 0.1, for int8 1.0')
    parser.add_argument('--colour', choices=('rgb', 'bgr'), default='rgb', help='the order of the channels it takes')
    parser.add_argument(
        '--size', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help='take images of this size only; default: any'
    )
    parser.add_argument('--precision', choices=('float32', 'int8'), default='float32', help='int8 needs --dataset')
    parser.add_argument('--calibrate', help='images to calibrate int8 on; default: those of the check')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> None:
    """Exports."""
    from mmkd.apis.config import apply_cfg_options
    from mmkd.apis.errors import UserError

    if not args.out.endswith('.onnx'):
        raise UserError(f'out: {args.out!r} was given, a name ending in .onnx was expected')
    if args.precision == 'int8' and args.dataset is None:
        # what quantisation costs shows in the scores, hardly in a few images
        raise UserError('precision: int8 was given without --dataset, which compares the scores of both models')
    try:
        from mmkd.apis.export.exporting import ExportOptions, export
    except ModuleNotFoundError as error:
        raise UserError(f"{error}; pip install 'mmkd[export]' brings onnx and onnxruntime") from error
    from mmkd.apis.inference.models import TorchModel, config_and_checkpoint

    cfg, checkpoint = config_and_checkpoint(args.model)
    apply_cfg_options(cfg, args.cfg_options)
    options = ExportOptions(
        colour=args.colour,
        size=args.size and tuple(args.size),
        precision=args.precision,
        images=args.images,
        calibrate=args.calibrate,
        number=args.number,
        dataset=args.dataset is not None,
        dataset_number=args.dataset or None,
        max_drop=args.max_drop,
    )
    print('\n'.join(export(TorchModel(cfg, checkpoint), args.out, options)))
