"""Trains a model from a config: a plain one, or a student with its teacher."""

import argparse

import mmkd  # noqa: F401  first: makes _base_ = 'mmkd::...' resolve


def parse_args() -> argparse.Namespace:
    from mmkd.utils.cli import add_common_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or package::path such as mmkd::kd/centermask_v19_from_v99.py')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue: from the given checkpoint, or from the last one in the work dir when none is given',
    )
    parser.add_argument('--amp', action='store_true', help='train the student in automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmkd.utils import build, cli, launch, preflight

    cfg = cli.load_config(args)
    if args.amp:
        cli.apply_amp(cfg)
    if args.auto_scale_lr:
        cli.apply_auto_scale_lr(cfg)
    cli.apply_resume(cfg, args.resume)
    preflight.check_train_config(cfg)

    launch.prepare_launch(cfg)
    with cli.leaves_nothing_behind(cfg.work_dir):
        with cli.user_errors('building the run', cfg):
            runner = launch.build_runner(cfg)
            launch.prepare_model(runner)
            launch.check_checkpoint(runner)
            build.build_training(runner)
        runner.train()
    launch.finish()


if __name__ == '__main__':
    from mmkd.utils.cli import run_tool

    run_tool(main)
