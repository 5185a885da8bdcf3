"""The table of everything in a network that a distillation loss may tap."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.distillation.taps.survey import IMAGES, Survey, TappedModule
from mmkd.registry import MODELS
from mmkd.utils.model_config import student_config

__all__ = ['as_dict', 'as_table', 'input_size', 'network_of', 'quietly']

HEADER = ('tap', 'module', 'calls', 'stride', 'channels', 'shape in eval', 'shape in train', 'in-place', 'time')
SHOWN = 3  # different shapes of one tap before '...'


@contextmanager
def quietly() -> Iterator[None]:
    """What networks warn of, their weights and settings, is not shown: it does not matter to a survey."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


def network_of(cfg: Config) -> nn.Module:
    """The network of a config with random weights; of a distillation config, the student."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmdet'):
        # what mmengine does in one process, where there is nothing to synchronise with
        return revert_sync_batchnorm(MODELS.build(student_config(cfg.model)))


def input_size(cfg: Config) -> tuple[int, int]:
    """Height and width that the network of a config is trained on, where it says so; else 512 x 512."""
    model = student_config(cfg.model)
    size = cfg.get('crop_size') or (model.get('data_preprocessor') or {}).get('size') or (512, 512)
    return (size[0], size[1]) if isinstance(size, Sequence) else (size, size)


def as_dict(found: Survey, depth: int | None = None) -> dict[str, Any]:
    """The survey in plain containers, for JSON.

    Args:
        found: The survey.
        depth: Of names of more parts than these, nothing is given; ``backbone.layer1`` has two.
    """
    return dict(asdict(found), images=IMAGES, modules=[asdict(row) for row in _rows(found, depth)])


def as_table(found: Survey, depth: int | None = None) -> str:
    """The survey to be read; arguments as of :func:`as_dict`."""
    lines = [HEADER, *(_cells(row) for row in _rows(found, depth))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ['  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    height, width = found.size
    return '\n'.join(
        [
            f'{IMAGES} images of {height} x {width}; eval: {_run(found, "eval")}, {1000 * found.seconds:.0f} ms; '
            f'train: {_run(found, "train")}',
            '',
            *table,
            '',
            'calls: in eval, as a teacher, and in train, as a student. time: share of a forward in eval, with all that '
            'is inside of a module.',
            'in-place: what it gives is written over later in the forward; the recorder of DenseDistill sees to that.',
        ]
    )


def _run(found: Survey, phase: str) -> str:
    failures = [f'not {what.split()[1]!r}: {why}' for what, why in found.failures.items() if what.startswith(phase)]
    return '; '.join([f'mode={found.modes[phase]!r}', *failures])


def _rows(found: Survey, depth: int | None) -> list[TappedModule]:
    def parts(row: TappedModule) -> int:
        return row.name.removesuffix('.forward').count('.') + 1

    return [row for row in found.modules if depth is None or parts(row) <= depth]


def _cells(row: TappedModule) -> tuple[str, ...]:
    calls = row.calls['eval'], row.calls['train']
    shapes = {phase: _listed('x'.join(map(str, shape)) for shape in row.shapes[phase]) for phase in row.shapes}
    same = row.shapes['train'] == row.shapes['eval']
    return (
        row.name,
        row.kind,
        str(calls[0]) if calls[0] == calls[1] else f'{calls[0]}, {calls[1]}',
        _listed('-' if stride is None else f'{stride:g}' for stride in row.strides),
        _listed(map(str, row.channels)),
        shapes['eval'] or '-',
        'the same' if same else shapes['train'] or '-',
        'yes' if row.overwritten else '-',
        f'{100 * row.time:.1f} %' if row.calls['eval'] else '-',
    )


def _listed(values: Iterable[str]) -> str:
    different = list(dict.fromkeys(values))
    return ' '.join(different[:SHOWN]) + (' ...' if len(different) > SHOWN else '')
