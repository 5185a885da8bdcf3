"""From two networks to a trained and tested student."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmkd.apis import training
from mmkd.apis.config import apply_cfg_options, read_config, resolve_config
from mmkd.apis.errors import user_errors
from mmkd.apis.new_project import create_project
from mmkd.apis.new_project.configs import write_data_config
from mmkd.apis.preflight import check_train_config
from mmkd.apis.taps import network_of, quietly
from mmkd.distillation.recipes.auto import Choice, choose
from mmkd.distillation.taps.outline import outline
from mmkd.distillation.taps.trial_sizes import TrialSizes
from mmkd.distillation.teacher import FrozenTeacher
from mmkd.distillation.teacher.sources import SOURCES
from mmkd.utils.errors import UserError
from mmkd.utils.model_config import resolve_network
from mmkd.utils.student import student_of

from .classes import same_classes, with_classes
from .scores import Row, as_table, row_of_student, row_of_teacher
from .unlabelled import with_unlabelled
from .weights import apply_weights, measured_weights
from .written import Written

__all__ = ['distill']

RANDOM = 'random'


def distill(
    student: str,
    teacher: str | Mapping[str, Any],
    teacher_ckpt: str | None = None,
    recipe: str | Mapping[str, Mapping] = 'auto',
    data: str | None = None,
    unlabelled: str | None = None,
    compare: bool = False,
    share: float = 0.1,
    max_iters: int | None = None,
    work_dir: str | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = 'none',
) -> Runner:
    """Writes the config of a student with its teacher, checks it, trains, tests, and prints a table.

    Args:
        student: Config of the student, a path or ``package::path``.
        teacher: Config of the teacher, likewise; or what ``teacher`` of ``DenseDistill`` takes.
        teacher_ckpt: Its checkpoint; ``'random'`` for a trial with random weights.
        recipe: ``'auto'``, another of :data:`mmkd.distillation.recipes.auto.RECIPES`, or losses in the short form.
        data: A folder of labelled images, as of ``mmkd new``; None: the data of the student's config.
        unlabelled: A folder of images without labels, on which the student is taught by the teacher alone.
        compare: Whether the student is trained without its teacher, too, on the same data with the same seed.
        share: How large the gradient of the distillation is, next to that of the task, on the first batches.
        max_iters: With ``data``, how long is trained.
        work_dir: Where everything goes; default ``work_dirs/<student>_from_<teacher>``.
        cfg_options: Overrides in the config.
        launcher: As of ``mmkd train``.

    Returns:
        The runner of the student with its teacher, after training.

    Raises:
        UserError: Something in the configs cannot be, or there is nothing to compare in the two networks.
        RunError: The training cannot go on.
    """
    teacher = _teacher_of(teacher, teacher_ckpt)
    folder = Path(work_dir or Path('work_dirs', f'{_name(student)}_from_{_name(teacher)}'))
    plain, base, overrides = _base(student, data, max_iters, folder)
    options = dict(cfg_options or {})
    choice = _choice(plain, teacher, recipe)
    written = Written(
        folder / 'distill.py',
        base,
        overrides,
        teacher,
        choice.distill,
        [f'{_name(student)}, taught by {_name(teacher)}; written by mmkd distill. What was chosen:', *choice.reasons],
        _seed(plain),
    )
    if unlabelled is not None:
        written.more.update(with_unlabelled(plain, unlabelled))
    cfg = _written(written, options, folder / 'student_kd', launcher)
    check_train_config(cfg)

    with user_errors('weights of the losses', cfg):
        weights = measured_weights(cfg, share)
    apply_weights(written.distill, weights)
    line = f"weights: with these the gradient of the distillation is {share:g} of the task's on the first batches"
    written.comments.append(line)
    cfg = _written(written, options, folder / 'student_kd', launcher)
    _say(
        f'{written.path}:',
        *choice.reasons,
        line,
        *(f'  distill.{name}: {weight:g}' for name, weight in weights.items()),
    )

    runner = _trained(cfg, 'student_kd')
    rows = [row_of_teacher(runner, written.teacher, same_classes(plain, written.teacher))]
    if compare:
        alone = student_of(cfg)
        alone.work_dir = str(folder / 'student')
        rows.append(row_of_student('student', _trained(alone, 'student')))
    rows.append(row_of_student('student + KD', runner))
    _finish(folder, rows, compare)
    return runner


def _teacher_of(teacher: str | Mapping[str, Any], ckpt: str | None) -> dict[str, Any]:
    if isinstance(teacher, str):
        source, _, name = teacher.partition(':')
        teacher = dict(source=source, name=name) if source in SOURCES and name else dict(cfg_path=teacher)
    found = dict(teacher)
    if '::' not in found.get('cfg_path', '::'):
        found['cfg_path'] = str(Path(resolve_config(found['cfg_path'])).absolute())
    if ckpt == RANDOM:
        found['allow_random'] = True
    elif ckpt is not None:
        found['ckpt'] = ckpt if '://' in ckpt else str(Path(ckpt).absolute())
    elif not {'ckpt', 'allow_random', 'source'} & found.keys():
        raise UserError(
            "--teacher-ckpt: missing; the file of the trained teacher was expected, or 'random' for a trial with "
            'random weights, of which the student learns nothing'
        )
    return found


def _name(network: str | Mapping[str, Any]) -> str:
    name = network if isinstance(network, str) else network.get('cfg_path') or network.get('name') or 'teacher'
    return Path(name.split('::')[-1]).stem


def _base(student: str, data: str | None, max_iters: int | None, folder: Path) -> tuple[Config, str, dict | None]:
    """The config of the plain student, that which the written one inherits, and the keys of the student in it."""
    cfg = read_config(student)
    path = student if '::' in student else str(Path(resolve_config(student)).absolute())
    if data is None:
        return cfg, path, None
    kind = _kind_of_labels(cfg)
    project = folder / 'data'
    if dist.is_main_process():
        options = dict(folder=data, out=str(project), force=True, kind=kind, max_iters=max_iters)
        defaults = dict(format=None, classes=None, val=0.2, teacher=None, score_thr=0.5, device='cpu')
        created = create_project(argparse.Namespace(**defaults, **options), write_data_config)
        _say(created.summary(), created.findings())
    dist.barrier()
    of_data = read_config(str(project / 'data.py'))
    overrides = dict(cfg_path=path, **with_classes(cfg, of_data, kind))
    of_data.model = resolve_network(overrides, 'student')
    return of_data, './data/data.py', overrides


def _kind_of_labels(cfg: Config) -> str:
    """What the student of a config learns: ``'semantic'``, ``'instances'`` or ``'boxes'``."""
    if 'decode_head' in cfg.model:
        return 'semantic'
    return 'instances' if "'with_mask': True" in str(cfg.get('train_dataloader')) else 'boxes'


def _choice(plain: Config, teacher: Mapping, recipe: str | Mapping) -> Choice:
    if not isinstance(recipe, str):
        return Choice(dict(recipe), ('the losses that were given',))
    with quietly():
        with user_errors('building the student', plain):
            network = network_of(plain)
        with user_errors('teacher'):
            skeleton = FrozenTeacher.from_config(teacher).skeleton()
        with user_errors('--recipe'):
            sizes = TrialSizes.from_config(True, network)
            ours, theirs = sizes.first_that_works(
                lambda size: (outline(network, size, as_student=True), outline(skeleton, size))
            )
            return choose(recipe, ours, theirs, same_classes(plain, teacher))


def _seed(cfg: Config) -> dict[str, str]:
    seeded = (cfg.get('randomness') or {}).get('seed') is not None
    return {} if seeded else dict(randomness='dict(seed=0)')


def _written(written: Written, options: Mapping, work_dir: Path, launcher: str) -> Config:
    """Writes the config, on one process, and reads it."""
    if dist.is_main_process():
        written.write()
    dist.barrier()
    cfg = read_config(str(written.path))
    cfg.launcher = launcher
    apply_cfg_options(cfg, options)
    cfg.work_dir = str(work_dir)
    return cfg


def _trained(cfg: Config, name: str) -> Runner:
    # of the same name there is one visualizer in a process, which writes where the first run was
    cfg.visualizer = ConfigDict(cfg.get('visualizer') or dict(type='mmengine.Visualizer'), name=f'{name}_{os.getpid()}')
    return training.train(cfg)


def _finish(folder: Path, rows: list[Row], compare: bool) -> None:
    if not dist.is_main_process():
        return
    from mmkd.apis.report import write_report

    runs = dict(student=folder / 'student') if compare else {}
    write_report({**runs, 'student + KD': folder / 'student_kd'}, folder / 'report.html')
    table = as_table(rows)
    (folder / 'scores.md').write_text(f'{table}\n')
    _say(
        '', table, '', f'{folder}: distill.py (train it again: mmkd train {folder}/distill.py), scores.md, report.html'
    )


def _say(*lines: str) -> None:
    if dist.is_main_process():
        print('\n'.join(lines), flush=True)
