"""Draws losses and scores of training runs over the iterations, a panel for each key and a line for each run.

Example:
    python tools/visualize/curves.py work_dirs/student work_dirs/student_kd --keys loss coco/segm_mAP --out curves.png
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', help='work dirs of tools/train.py')
    parser.add_argument('--names', nargs='+', help='of the runs; by default those of their folders')
    parser.add_argument('--keys', nargs='+', default=['loss'], help='as in the log, such as loss_cls or coco/segm_mAP')
    parser.add_argument('--out', required=True, help='picture to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.utils.errors import UserError
    from mmkd.visualization import plot_scalars

    for folder in args.work_dirs:
        if not Path(folder).is_dir():
            raise UserError(f'work_dirs: {folder!r} does not exist (looked for from {Path.cwd()})')
    names = args.names or [Path(folder).name for folder in args.work_dirs]
    if len(names) != len(args.work_dirs) or len(set(names)) != len(names):
        raise UserError(f'--names: {len(args.work_dirs)} work dirs need as many different names, got {names}')
    try:
        plot_scalars(dict(zip(names, args.work_dirs, strict=True)), args.keys, args.out)
    except ValueError as error:
        raise UserError(f'--keys: {error}') from error


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
