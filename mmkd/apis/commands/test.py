"""Tests a trained model. A distilled student is tested alone: no teacher, no teacher file."""

import argparse

HELP = 'test a trained model; a distilled student is tested alone'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmkd.apis.config import add_common_arguments

    parser.add_argument('config', help='config file, or package::path: the distillation config or the plain student')
    parser.add_argument('checkpoint', help='a full checkpoint or a student-only file; both fit either config')
    parser.add_argument('--out', help='write the predictions to this .pkl file')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--show-dir', help='draw the predictions here; relative to the dated folder of the run')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds between the windows of --show')
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation: that of the config, or for detectors a flip'
    )
    add_common_arguments(parser)


def run(args: argparse.Namespace) -> None:
    from mmkd.apis import testing
    from mmkd.apis.config import load_config
    from mmkd.apis.launch import finish

    cfg = load_config(args)
    testing.apply_drawing(cfg, args.show, args.show_dir, args.wait_time)
    testing.test(cfg, args.checkpoint, args.out, args.tta)
    finish()
