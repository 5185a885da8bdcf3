"""Draws losses and scores of training runs over the iterations, a panel for each key and a line for each run.

Example:
    mmkd curves work_dirs/student work_dirs/student_kd --keys loss coco/segm_mAP --out curves.png
"""

import argparse

HELP = 'draw losses and scores of training runs'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument('work_dirs', nargs='+', help='work dirs of trainings')
    parser.add_argument('--names', nargs='+', help='of the runs; by default those of their folders')
    parser.add_argument('--keys', nargs='+', default=['loss'], help='as in the log, such as loss_cls or coco/segm_mAP')
    parser.add_argument('--out', required=True, help='picture to write')


def run(args: argparse.Namespace) -> None:
    """Draws."""
    from mmkd.apis.errors import UserError
    from mmkd.apis.report import named_runs
    from mmkd.visualization import plot_scalars
    from mmkd.visualization.curves import logged_keys

    runs = named_runs(args.work_dirs, args.names)
    try:
        plot_scalars(runs, args.keys, args.out)
    except ValueError as error:
        keys = sorted({key for folder in runs.values() for key in logged_keys(folder)})
        there = f'; there are {", ".join(keys)}' if keys else ''
        raise UserError(f'--keys: {error}{there}') from error
    print(args.out)
