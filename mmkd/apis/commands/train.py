"""Trains a model from a config: a plain one, or a student with its teacher."""

import argparse

HELP = 'train a model from a config: a plain one, or a student with its teacher'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmkd.apis.config import add_common_arguments

    parser.add_argument('config', help='config file, or package::path such as mmkd::kd/centermask_v19_from_v99.py')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue: from the given checkpoint, or from the last one in the work dir when none is given',
    )
    parser.add_argument('--amp', action='store_true', help='train the student in automatic mixed precision')
    parser.add_argument(
        '--amp-dtype', choices=('float16', 'bfloat16'), help='of --amp; default: float16, on a CPU bfloat16'
    )
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from mmkd.apis import training
    from mmkd.apis.config import load_config
    from mmkd.apis.launch import finish

    cfg = load_config(args)
    if args.amp or args.amp_dtype:
        training.apply_amp(cfg, args.amp_dtype)
    if args.auto_scale_lr:
        training.apply_auto_scale_lr(cfg)
    training.apply_resume(cfg, args.resume)
    training.train(cfg)
    finish()
