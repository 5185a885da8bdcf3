"""``make demo``: a teacher, the same student without and with it, on sixty microscopy images."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from .report import Row, write_report
from .stages import Stage, run_stage

__all__ = ['run_demo']

ROOT = Path(__file__).parents[2]
if not (ROOT / 'configs/_quick_').is_dir():
    ROOT = Path(__file__).parents[1] / '.mim'


@dataclass(frozen=True)
class Model:
    """One row of the demo's table.

    Attributes:
        key: Its folder.
        title: Its name in tables and pictures.
        config: Its training config, in ``configs/_quick_``.
        test_config: Its plain config, with which it is tested.
    """

    key: str
    title: str
    config: str
    test_config: str


TEACHER = Model('teacher', 'teacher', 'centermask_efficientnet-lite2_nuclei.py', 'centermask_efficientnet-lite2_nuclei.py')
STUDENT = 'centermask-lite_v19-slim-dw_nuclei.py'
MODELS = (
    TEACHER,
    Model('student', 'student', STUDENT, STUDENT),
    Model('student_kd', 'student + KD', 'centermask-lite_v19-slim-dw_from_lite2_nuclei.py', STUDENT),
)


def run_demo(work_dir: Path, max_iters: int | None = None) -> None:
    """Trains, tests and draws all models; what an earlier run finished is re-used.

    Args:
        work_dir: Where everything goes.
        max_iters: Trains each model for so many iterations, in place of what its config says. For trying the demo
            itself: the results mean nothing then.

    Raises:
        StageFailed: A command failed.
    """
    start = time.monotonic()
    work_dir = work_dir.absolute()
    trained: dict[str, str] = {}
    rows = []
    for model in MODELS:
        train = _train_stage(model, work_dir, max_iters, trained)
        run_stage(train)
        trained[model.key] = train.inputs
    for model in MODELS:
        test = _test_stage(model, work_dir, max_iters, trained[model.key])
        run_stage(test)
        rows.append(
            Row(
                model.key,
                model.title,
                str(_config(model.test_config)),
                _checkpoint(model, work_dir, max_iters),
                test.folder,
            )
        )
    write_report(rows, work_dir)
    print(
        f'\n{time.monotonic() - start:.0f} s in all. Pictures, curves and table: {os.path.relpath(work_dir)}/README.txt'
    )


def _config(name: str) -> Path:
    return ROOT / 'configs/_quick_' / name


def _iterations(model: Model, max_iters: int | None) -> int:
    return max_iters or Config.fromfile(_config(model.config)).train_cfg.max_iters


def _checkpoint(model: Model, work_dir: Path, max_iters: int | None) -> Path:
    """What is tested: of the distilled student the student-only file, which is what one would ship."""
    name = f'iter_{_iterations(model, max_iters)}'
    suffix = '' if model.config == model.test_config else '_student'
    return work_dir / model.key / f'{name}{suffix}.pth'


def _train_stage(model: Model, work_dir: Path, max_iters: int | None, trained: dict[str, str]) -> Stage:
    config, folder = _config(model.config), work_dir / model.key
    # validated by its own stage afterwards
    options = ['train_cfg.val_begin=1000000']
    if max_iters:
        options += [f'train_cfg.max_iters={max_iters}', 'default_hooks.logger.interval=1']
    environment = {}
    depends_on = ''
    if model.config != model.test_config:
        environment['MMKD_TEACHER_CKPT'] = str(_checkpoint(TEACHER, work_dir, max_iters))
        depends_on = trained[TEACHER.key]
    return Stage(
        name=f'{model.title:<12} training',
        command=(
            sys.executable,
            str(ROOT / 'tools/train.py'),
            str(config),
            '--work-dir',
            str(folder),
            '--cfg-options',
            *options,
        ),
        folder=folder,
        key='train',
        inputs='\n'.join([Config.fromfile(config, use_environment_variables=False).pretty_text, *options, depends_on]),
        result=_checkpoint(model, work_dir, max_iters),
        environment=environment,
        resume=('--resume',),
    )


def _test_stage(model: Model, work_dir: Path, max_iters: int | None, trained: str) -> Stage:
    config, folder = _config(model.test_config), work_dir / model.key / 'test'
    checkpoint = _checkpoint(model, work_dir, max_iters)
    return Stage(
        name=f'{model.title:<12} testing ',
        command=(
            sys.executable, str(ROOT / 'tools/test.py'), str(config), str(checkpoint),
            '--work-dir', str(folder), '--out', str(folder / 'predictions.pkl'),
        ),
        folder=folder,
        key='test',
        inputs=f'{trained}\n{checkpoint.stat().st_mtime_ns}',
        result=folder / 'predictions.pkl',
    )  # fmt: skip
