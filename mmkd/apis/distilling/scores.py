"""The table at the end: what teacher, student, and student with its teacher score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmkd.engine.hooks import TeacherEvaluationHook
from mmkd.utils.unwrap import unwrapped

__all__ = ['Row', 'as_table', 'row_of_student', 'row_of_teacher']

SHOWN = 6  # metrics in the table; COCO's has dozens


@dataclass(frozen=True)
class Row:
    """One model: its name, parameters in millions, its metrics, and why there are none."""

    name: str
    millions: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ''


def row_of_student(name: str, runner: Runner) -> Row:
    """Tests the student of a run as it is after training."""
    model = unwrapped(runner.model)
    student = getattr(model, 'student', model)
    return Row(name, _millions(student), _numbers(runner.test()) if runner._test_loop is not None else {})


def row_of_teacher(runner: Runner, teacher: Mapping[str, Any], same_classes: bool | None) -> Row:
    """Tests the teacher of a run on the data of the student, where it predicts what the student does."""
    model = unwrapped(runner.model).teacher.model
    row = Row('teacher', _millions(model))
    if not isinstance(model, BaseModel):
        return Row(*_start(row), reason='it is a network of another library, which predicts something else')
    if same_classes is False:
        return Row(*_start(row), reason='its classes are not those of the data')
    if runner._test_loop is None:
        return row
    try:
        metrics = TeacherEvaluationHook().evaluate(runner, runner.test_loop)
    except Exception as error:  # a teacher of another task: its predictions lack what the metric asks for
        return Row(*_start(row), reason=f'it cannot be tested here: {type(error).__name__}: {error}')
    return Row(*_start(row), _numbers({name.removeprefix('teacher/'): value for name, value in metrics.items()}))


def _start(row: Row) -> tuple[str, float]:
    return row.name, row.millions


def _millions(model) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}


def as_table(rows: Sequence[Row]) -> str:
    """A table in Markdown, with a note for each model without a score."""
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))[:SHOWN]
    lines = [['model', 'parameters', *names], ['---', *['---:'] * (1 + len(names))]]
    for row in rows:
        scores = [f'{row.metrics[name]:.4g}' if name in row.metrics else '-' for name in names]
        lines.append([row.name, f'{row.millions:.2f} M', *scores])
    notes = [f'{row.name}: not tested, {row.reason}' for row in rows if row.reason]
    return '\n'.join([*(f'| {" | ".join(line)} |' for line in lines), *(['', *notes] if notes else [])])
