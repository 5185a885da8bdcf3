"""Draws what CenterMask with point representation makes masks of: heatmap, local shapes, saliency, and the masks.

Example:
    mmkd point_masks projects/reduced_runs/configs/nuclei_points.py \
        work_dirs/point-centermask_dla46c_nuclei/iter_300.pth --out pictures
"""

import argparse

HELP = 'draw what CenterMask with points makes its masks of'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument('config', help='config of the model, a file or package::path')
    parser.add_argument('checkpoint')
    parser.add_argument('images', nargs='*', help='image files; without any, some of the test set')
    parser.add_argument('--score-thr', type=float, default=0.3, help='objects with a higher score are drawn')
    parser.add_argument('--out', required=True, help='folder for the pictures')
    parser.add_argument('--number', type=int, default=8, help='how many images, spread over the test set')
    parser.add_argument('--device', default='cpu')


def run(args: argparse.Namespace) -> None:
    """Draws."""
    from mmkd.apis.config import read_config
    from mmkd.apis.errors import user_errors
    from mmkd.visualization.point_masks import save_point_masks

    cfg = read_config(args.config)
    with user_errors('drawing'):
        files = save_point_masks(cfg, args.checkpoint, args.images, args.out, args.number, args.score_thr, args.device)
    print(f'{len(files)} pictures in {args.out}')
