"""Trains a student alone and with its teacher, side by side, on real images; tests, compares and draws all three."""

import argparse
import sys
from pathlib import Path

import mmkd  # noqa: F401  first: makes _base_ = 'mmkd::...' resolve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='default %(default)s')
    parser.add_argument('--max-iters', type=int, help='train only so long: to try the demo itself, not for its results')
    args = parser.parse_args()

    from mmkd.demo.nuclei import run_demo
    from mmkd.demo.stages import StageFailed

    try:
        run_demo(args.work_dir, args.max_iters)
    except StageFailed as error:
        sys.exit(f'\n{error}')
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; the next run continues from the last checkpoint')


if __name__ == '__main__':
    main()
