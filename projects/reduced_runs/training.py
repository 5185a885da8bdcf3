"""One run: trains and tests with mmengine's Runner, and leaves a log."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import time
import traceback
from pathlib import Path

import mmseg.models  # noqa: F401  here and not in the forks
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from protocol import Run

import mmkd.distillation.algorithms
import mmkd.models  # noqa: F401
from mmkd.apis.config import move_data_root
from mmkd.engine import prepare_runner


def execute(run: Run) -> None:
    """Trains and tests, with its output in the work dir; the log appears when all is done."""
    shutil.rmtree(run.work_dir, ignore_errors=True)
    run.work_dir.mkdir(parents=True)
    with open(run.work_dir / 'output.txt', 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                _write_log(run, *_train_and_test(run))
            except Exception:
                traceback.print_exc()
                raise SystemExit(1) from None


def _train_and_test(run: Run) -> tuple[dict, list[dict], dict]:
    cfg = Config.fromfile(run.config)
    if run.data:
        move_data_root(cfg, os.path.join(os.environ.get('MMKD_DATA', 'data'), run.data))
    cfg.merge_from_dict(run.options)
    cfg.work_dir = str(run.work_dir)
    cfg.randomness = dict(seed=run.seed)
    # what is timed is the training, not what can be looked at beside it
    cfg.tensorboard = False
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or []),
        dict(type='mmkd.GradientShareHook', interval=0),
        dict(type='mmkd.ValidationPanelsHook', number=0),
    ]
    if not run.train:
        cfg.load_from = run.ckpt
    runner = Runner.from_cfg(cfg)
    prepare_runner(runner)  # the arms without a teacher, too: the same images, cropped alike
    start, cpu = time.time(), _cpu_seconds()
    records = []
    if run.train:
        runner.train()
        records = _records(run.work_dir)
    spent = dict(seconds=round(time.time() - start), cpu_seconds=round(_cpu_seconds() - cpu))
    if run.train and run.ckpt:
        Path(run.ckpt).parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(state_dict=runner.model.state_dict(), meta=dict(config=run.config)), run.ckpt)
    score = {key: float(value) for key, value in (runner.test() if run.test else {}).items()}
    return dict(iterations=runner.iter, **spent, torch=torch.__version__), records, score


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _records(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def _write_log(run: Run, facts: dict, records: list[dict], score: dict) -> None:
    run.log.parent.mkdir(parents=True, exist_ok=True)
    lines = [{**run.header(), **facts}, *records, dict(mode='test', **score)]
    temporary = run.log.with_suffix('.part')
    temporary.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    temporary.replace(run.log)
