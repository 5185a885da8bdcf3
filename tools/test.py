"""Tests a trained model. A distilled student is tested alone: no teacher, no teacher file."""

import argparse

import mmkd  # noqa: F401  first: makes _base_ = 'mmkd::...' resolve


def parse_args() -> argparse.Namespace:
    from mmkd.utils.cli import add_common_arguments

    parser = argparse.ArgumentParser(description=__doc__)
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
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.utils import build, cli, launch, preflight, testing

    cfg = cli.load_config(args)
    testing.prepare_config(cfg, args)
    preflight.check_test_config(cfg)
    if args.tta:
        testing.apply_tta(cfg)

    launch.prepare_launch(cfg)
    with cli.leaves_nothing_behind(cfg.work_dir):
        with cli.user_errors('building the run', cfg):
            runner = launch.build_runner(cfg)
            testing.load_checkpoint(runner, args.checkpoint)
            build.build_testing(runner)
            testing.dump_predictions(runner, args.out)
        runner.test()
    launch.finish()


if __name__ == '__main__':
    from mmkd.utils.cli import run_tool

    run_tool(main)
