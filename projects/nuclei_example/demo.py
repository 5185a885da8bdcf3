"""Trains a student alone and with its teacher, side by side, on real images; tests, compares and draws all three.

``make demo`` runs it: sixty microscopy images, three minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from nuclei_demo.report import Row, write_report
from nuclei_demo.stages import Stage, StageFailed, run_lanes

import mmkd  # noqa: F401  makes _base_ = 'mmkd::...' resolve

PROJECT = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Model:
    """One row of the demo's table.

    Attributes:
        key: Its folder.
        title: Its name in tables and pictures.
        test_config: Its plain config, in ``projects/nuclei_example/configs``, with which it is tested.
        config: Its training config; None for the teacher, which comes trained.
    """

    key: str
    title: str
    test_config: str
    config: str | None = None


STUDENT = 'centermask-lite_efficientnet-lite0_nuclei.py'
TEACHER = Model('teacher', 'teacher', 'centermask_efficientnet-lite2_nuclei.py')
ALONE = Model('student', 'student', STUDENT, STUDENT)
TAUGHT = Model('student_kd', 'student + KD', STUDENT, 'centermask-lite_efficientnet-lite0_from_lite2_nuclei_pkd.py')
TEACHER_FILE = PROJECT / 'teacher/centermask_efficientnet-lite2_nuclei.pth'


def run_demo(work_dir: Path, max_iters: int | None = None) -> None:
    """Trains both students side by side, tests and draws all models; what an earlier run finished is re-used.

    Args:
        work_dir: Where everything goes.
        max_iters: Trains each student for so many iterations, in place of what its config says. For trying the demo
            itself: the results mean nothing then.

    Raises:
        StageFailed: A command failed.
    """
    start = time.monotonic()
    work_dir = work_dir.absolute()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    print(
        'The student is trained alone, and beside it once more with its teacher. Both see the same images.', flush=True
    )
    trained = {model: _train_stage(model, work_dir, max_iters) for model in (ALONE, TAUGHT)}
    tested = {model: _test_stage(model, work_dir, max_iters, trained.get(model)) for model in (TEACHER, ALONE, TAUGHT)}
    # the student alone is done first: the teacher is tested meanwhile
    lanes = [[trained[ALONE], tested[ALONE], tested[TEACHER]], [trained[TAUGHT], tested[TAUGHT]]]
    run_lanes(lanes, jobs=min(len(lanes), cores or 1))
    rows = [
        Row(
            model.key,
            model.title,
            str(_config(model.test_config)),
            _checkpoint(model, work_dir, max_iters),
            test.folder,
            trained=model.config is not None,
        )
        for model, test in tested.items()
    ]
    write_report(rows, work_dir)
    print(
        f'{time.monotonic() - start:.0f} s in all. Pictures, curves and table: {os.path.relpath(work_dir)}/README.txt'
    )


def _config(name: str) -> Path:
    return PROJECT / 'configs' / name


def _iterations(model: Model, max_iters: int | None) -> int:
    return max_iters or Config.fromfile(_config(model.config)).train_cfg.max_iters


def _checkpoint(model: Model, work_dir: Path, max_iters: int | None) -> Path:
    """What is tested: of the distilled student the student-only file, which is what one would ship."""
    if model.config is None:
        return TEACHER_FILE
    suffix = '' if model.config == model.test_config else '_student'
    return work_dir / model.key / f'iter_{_iterations(model, max_iters)}{suffix}.pth'


def _train_stage(model: Model, work_dir: Path, max_iters: int | None) -> Stage:
    config, folder = _config(model.config), work_dir / model.key
    options = ['train_cfg.val_begin=1000000']  # validated by its own stage afterwards
    if max_iters:
        options += [f'train_cfg.max_iters={max_iters}', 'default_hooks.logger.interval=1']
    text = Config.fromfile(config, use_environment_variables=False).pretty_text
    return Stage(
        name=f'{model.title:<12} training',
        command=(
            sys.executable, '-m', 'mmkd', 'train', str(config),
            '--work-dir', str(folder), '--cfg-options', *options,
        ),
        folder=folder,
        key='train',
        inputs='\n'.join([text, *options, _hash(TEACHER_FILE)]),
        result=_checkpoint(model, work_dir, max_iters),
        # one core each, so that the two do not wait for one another
        environment=dict(OMP_NUM_THREADS='1'),
        resume=('--resume',),
    )  # fmt: skip


def _test_stage(model: Model, work_dir: Path, max_iters: int | None, trained: Stage | None) -> Stage:
    config, folder = _config(model.test_config), work_dir / model.key / 'test'
    checkpoint = _checkpoint(model, work_dir, max_iters)
    return Stage(
        name=f'{model.title:<12} testing ',
        command=(
            sys.executable, '-m', 'mmkd', 'test', str(config), str(checkpoint),
            '--work-dir', str(folder), '--out', str(folder / 'predictions.pkl'),
        ),
        folder=folder,
        key='test',
        inputs=trained.inputs if trained else f'{Config.fromfile(config).pretty_text}\n{_hash(checkpoint)}',
        result=folder / 'predictions.pkl',
        environment=dict(OMP_NUM_THREADS='1'),
    )  # fmt: skip


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/demo'), help='default %(default)s')
    parser.add_argument('--max-iters', type=int, help='train only so long: to try the demo itself, not for its results')
    args = parser.parse_args()
    try:
        run_demo(args.work_dir, args.max_iters)
    except StageFailed as error:
        sys.exit(f'\n{error}')
    except KeyboardInterrupt:
        sys.exit('\ninterrupted; the next run continues from the last checkpoint')


if __name__ == '__main__':
    main()
