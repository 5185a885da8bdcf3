"""What a table of reduced runs is: its runs, its budgets, its logs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LOGS = Path('docs/results/logs')
WORK_DIRS = Path('work_dirs/reduced_runs')
KEYS = {'title', 'page', 'metric', 'factor', 'seeds', 'data', 'options', 'teacher', 'baseline', 'arms', 'search'}
ARM_KEYS = {'label', 'config', 'options', 'seeds', 'note'}


@dataclass(frozen=True)
class Run:
    """One training, or a test alone, and its log."""

    table: str
    name: str
    config: str
    options: dict[str, Any]
    seed: int
    ckpt: str | None = None  # of a teacher: where it goes, or what is tested
    train: bool = True
    test: bool = True  # a search looks at val only
    data: str | None = None  # the folder of the data set below MMKD_DATA, where it is not the config's

    @property
    def log(self) -> Path:
        return LOGS / self.table / f'{self.name}.json'

    @property
    def work_dir(self) -> Path:
        return WORK_DIRS / self.table / self.name

    def header(self) -> dict:
        return dict(config=self.config, options=self.options, seed=self.seed)

    def is_finished(self) -> bool:
        """Whether its log is there, and is of this very run.

        Raises:
            SystemExit: The log is of other options: the table was changed after the run.
        """
        if not self.log.is_file():
            return False
        found = {key: read_log(self.log)[0].get(key) for key in self.header()}
        if found != json.loads(json.dumps(self.header())):
            raise SystemExit(
                f'{self.log}: it is the log of {found}, the table now asks for {self.header()}. Remove the log to run '
                'it again, or give the arm another name'
            )
        return True


@dataclass
class Table:
    """A table as its file describes it; see run.py for the keys."""

    name: str
    title: str
    page: str
    metric: str
    baseline: str
    arms: dict[str, dict]
    seeds: list[int]
    factor: float = 1.0
    data: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    teacher: dict[str, Any] | None = None
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path) -> Table:
        """Reads the file.

        Raises:
            SystemExit: A key is missing or unknown, or an arm has seeds that the baseline lacks.
        """
        path = Path(path)
        content = _expand(yaml.safe_load(path.read_text()))
        unknown = sorted(set(content) - KEYS)
        missing = sorted({'title', 'page', 'metric', 'seeds', 'baseline', 'arms'} - set(content))
        if unknown or missing:
            raise SystemExit(f'{path}: unknown keys {unknown}, missing keys {missing}; run.py says what a table holds')
        table = cls(name=path.stem, **content)
        if table.baseline not in table.arms:
            raise SystemExit(f'{path}: baseline {table.baseline!r} is none of the arms {sorted(table.arms)}')
        for name, arm in table.arms.items():
            if set(arm) - ARM_KEYS or 'config' not in arm:
                raise SystemExit(
                    f'{path}: arms.{name} has the keys {sorted(arm)}, expected config and {sorted(ARM_KEYS)}'
                )
            unpaired = sorted(set(table.seeds_of(name)) - set(table.seeds_of(table.baseline)))
            if unpaired:
                raise SystemExit(
                    f'{path}: arms.{name} has seeds {unpaired} that {table.baseline} lacks: none to compare'
                )
        return table

    @property
    def searches(self) -> list[str]:
        return [name for name in self.search if name != 'seed']

    def seeds_of(self, arm: str) -> list[int]:
        return list(self.arms[arm].get('seeds', self.seeds))

    def run(self, arm: str, seed: int, found: Mapping[str, Mapping] = {}) -> Run:  # noqa: B006  never written to
        """A run of an arm, with what the searches found for it."""
        options = {**self.options, **self.arms[arm].get('options', {}), **found.get(arm, {})}
        return Run(self.name, f'{arm}_seed{seed}', self.arms[arm]['config'], options, seed, data=self.data)

    def teacher_run(self) -> Run:
        """The training of the teacher, or its test where it has no config of its own to train."""
        teacher = self.teacher
        train = not Path(teacher['ckpt']).is_file()
        options = dict(teacher.get('options', {}))
        return Run(
            self.name,
            'teacher',
            teacher['config'],
            options,
            teacher.get('seed', 0),
            teacher['ckpt'],
            train,
            data=self.data,
        )


def _expand(value: Any) -> Any:
    """The content of a table with its environment variables filled in."""
    if isinstance(value, str):
        return os.path.expandvars(value)
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    return value


def read_log(path: Path) -> list[dict]:
    """The records of a log, what was run first and the score last."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def schedule_of(config: str, options: Mapping[str, Any]) -> dict:
    """What a run may learn from: its iterations or epochs, and the images of a step, with labels or without."""
    from mmengine.config import Config

    cfg = Config.fromfile(config)
    cfg.merge_from_dict(dict(options))
    schedule = {key: cfg.train_cfg.get(key) for key in ('max_iters', 'max_epochs') if cfg.train_cfg.get(key)}
    return dict(schedule, batch_size=cfg.train_dataloader.batch_size)


def check_budgets(table: Table) -> None:
    """Refuses a table whose arms are not trained equally long, or see more images than others.

    Raises:
        SystemExit: Two arms have different schedules. Names both.
    """
    schedules = {}
    for name, arm in table.arms.items():
        schedules[name] = schedule_of(arm['config'], {**table.options, **arm.get('options', {})})
    expected = schedules[table.baseline]
    for name, schedule in schedules.items():
        if schedule != expected:
            raise SystemExit(
                f'{table.name}: unequal budgets: {table.baseline} trains for {expected}, {name} for {schedule}. Give '
                'both the same: options: {train_cfg.max_iters: ..., train_dataloader.batch_size: ...} and the end of '
                'the scheduler'
            )


def search_runs(table: Table, search: str) -> list[Run]:
    """The runs of a search, each with what the searches before it found."""
    spec = table.search[search]
    found = best_options(table, until=search).get(spec['arm'], {})
    arm, seed = spec['arm'], table.search.get('seed', 0)
    base = table.run(arm, seed, {arm: found})
    return [
        Run(
            table.name,
            f'search_{search}_{value}',
            base.config,
            {**base.options, spec['option']: value},
            seed,
            test=False,
            data=table.data,
        )
        for value in spec['values']
    ]


def best_options(table: Table, until: str | None = None) -> dict[str, dict]:
    """For each arm the options that the searches found: of each the value with the best last score on val."""
    found: dict[str, dict] = {arm: {} for arm in table.arms}
    for search in table.searches:
        if search == until:
            break
        spec = table.search[search]
        runs = search_runs(table, search)
        scores = [final_val(read_log(run.log), table.metric) if run.is_finished() else None for run in runs]
        if None in scores:
            continue  # not run yet
        best = spec['values'][max(range(len(scores)), key=scores.__getitem__)]
        for arm in spec.get('into', table.arms):
            found[arm][spec['option']] = best
    return found


def val_curve(records: Sequence[Mapping], metric: str) -> list[tuple[int, float]]:
    """Iteration (or epoch) and score of each validation."""
    curve, trained = [], 0
    for record in records[1:]:
        if record.get('mode') == 'test':
            continue
        if 'loss' in record:
            trained = record['step']
        elif metric in record:
            curve.append((record.get('step') or trained, record[metric]))
    return curve


def final_val(records: Sequence[Mapping], metric: str) -> float:
    """The score on val at the end of the schedule."""
    return val_curve(records, metric)[-1][1]


def missing_runs(
    table: Table, found: Mapping[str, Mapping], only: Sequence[str] | None = None, seeds: Sequence[int] | None = None
) -> list[Run]:
    """The runs that have no log yet, seed by seed, so that what is there at any time can be compared in pairs."""
    runs = [
        table.run(arm, seed, found)
        for seed in table.seeds
        for arm in table.arms
        if seed in table.seeds_of(arm) and (not only or arm in only) and (not seeds or seed in seeds)
    ]
    return [run for run in runs if not run.is_finished()]
