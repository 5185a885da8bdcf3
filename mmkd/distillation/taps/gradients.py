"""Whether a distillation loss can teach: what it reads of the student has to need a gradient.

The loss itself says nothing of it. Past a trained connector it has a gradient in any case, which ends there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mmengine.logging import print_log
from torch import Tensor

from .levels import Levels, Reading, readings_of, tensors_in

__all__ = ['check_gradients', 'warn_of_missing_gradients']


def check_gradients(distiller, name: str) -> None:
    """Looks at one loss before training, when the recorders hold what the student computed with gradients.

    Args:
        distiller: A ``DenseDistiller``.
        name: Of the loss.

    Raises:
        ValueError: Nothing that it reads of the student needs a gradient. Where that holds for some levels only, it is
            written to the log.
    """
    if 'loss' not in name:  # not minimised
        return
    message, teaches = _missing_gradients(distiller, name)
    if message and not teaches:
        raise ValueError(message)
    if message:
        _warn(message)


def warn_of_missing_gradients(distiller, losses: Mapping, iteration: int | None) -> None:
    """Looks at all losses in a step of training; also whether they have kept the gradient of what they read.

    Args:
        distiller: A ``DenseDistiller``.
        losses: Their values, by their names in the log.
        iteration: Of the run.
    """
    for name in distiller.loss_forward_mappings:
        if 'loss' not in name or not distiller.is_active(name, iteration):
            continue  # not minimised, or not now
        message, _ = _missing_gradients(distiller, name)
        found = [value for key, value in losses.items() if f'{key}_'.startswith(f'distill.{name}_')]
        if not message and not any(tensor.requires_grad for tensor in tensors_in(found)):
            kind = type(distiller.distill_losses[name]).__name__
            message = (
                f'{distiller.title(name)}: {kind} gives no gradient, although what it reads of the student has one'
            )
        if message:
            _warn(message)


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)


def _missing_gradients(distiller, name: str) -> tuple[str, bool]:
    """What to say of a loss, nothing if all is well; and whether any of its levels teaches."""
    levels = _levels_of(distiller, name)
    dead = [index for index, (_, needs_gradient) in enumerate(levels) if not needs_gradient]
    if not dead:
        return '', True
    sources = list(dict.fromkeys(source for index in dead for source in levels[index][0]))
    where = f'tap {" and ".join(map(repr, sources))}'
    if len(dead) < len(levels):
        where = f'level {" and ".join(map(str, dead))} of {len(levels)} ({where})'
    reason = (
        'recorded where gradients are off, under torch.no_grad or inside activation checkpointing with '
        'use_reentrant=True (use_reentrant=False keeps them)'
        if distiller.student_recorders.without_gradients.intersection(sources)
        else 'computed by frozen layers alone (frozen_stages, requires_grad=False), or detached'
    )
    message = (
        f'{distiller.title(name)}: {where} cannot teach the student: what is recorded there needs no gradient, it is '
        f'{reason}. Tap a later layer, or let these layers train.'
    )
    return message, len(dead) < len(levels)


def _levels_of(distiller, name: str) -> list[tuple[list[str], bool]]:
    """For each level of a loss, the student's taps that it is read from and whether one of them needs a gradient.

    A record without levels belongs to all of them; one without floating-point numbers to none.
    """
    records = []
    for readings in readings_of(distiller)[name].values():
        if readings[0].side == 'student':
            records.append([item for reading in readings for item in _items(reading)])
    records = [items for items in records if items]
    levels = []
    for index in range(max(map(len, records), default=0)):
        here = [items[min(index, len(items) - 1)] for items in records]
        levels.append(([source for source, _ in here], any(needs_gradient for _, needs_gradient in here)))
    return levels


def _items(reading: Reading) -> list[tuple[str, bool]]:
    """The levels of one record, without those that hold no floating-point numbers."""
    data = reading.read()
    items = [
        list(filter(Tensor.is_floating_point, tensors_in(i))) for i in (data if isinstance(data, Levels) else [data])
    ]
    return [(reading.source, any(tensor.requires_grad for tensor in tensors)) for tensors in items if tensors]
