"""Draws the predictions of several models on test images, side by side with the ground truth.

Example:
    python tools/visualize/compare.py --out pictures \
        --model teacher configs/pspnet/pspnet_r101_40k_camvid-480x360.py checkpoints/pspnet_r101_camvid.pth \
        --model 'student + KD' configs/kd/espnet_from_pspnet-r101_camvid_pi.py work_dirs/espnet/iter_40000_student.pth
"""

import argparse

import mmkd  # noqa: F401  first: makes _base_ = 'mmkd::...' resolve


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        required=True,
        metavar=('TITLE', 'CONFIG', 'CHECKPOINT'),
        help='a column; given once for each model. Of a distillation config the student is drawn',
    )
    parser.add_argument('--out', required=True, help='folder for the pictures')
    parser.add_argument('--number', type=int, default=8, help='how many images, spread over the test set')
    parser.add_argument('--score-thr', type=float, default=0.5, help='instances with a higher score are drawn')
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.apis import preflight
    from mmkd.apis.config import read_config
    from mmkd.apis.errors import user_errors
    from mmkd.visualization.compare import ComparedModel, compare_models

    with user_errors('comparing the models'):
        models = [ComparedModel(title, read_config(config), checkpoint) for title, config, checkpoint in args.model]
        for model in models:
            preflight.check_test_config(model.cfg)
        files = compare_models(models, args.out, args.number, args.score_thr, args.device)
    print(f'{len(files)} pictures in {args.out}')


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    run_tool(main)
