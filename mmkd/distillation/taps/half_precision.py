"""What half precision of the teacher does to the losses, seen before training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from mmengine.logging import print_log

from .levels import tensors_in

__all__ = ['try_half_precision']

# A difference as small as this is none: the losses of a student that is still its teacher are rounding alone.
NEGLIGIBLE = 1e-4


def try_half_precision(teacher, half: torch.dtype, full: Mapping, losses_of: Callable[[], Mapping]) -> None:
    """Computes the losses with the teacher in half precision, says how they differ, and sets it to what is good enough.

    Args:
        teacher: A ``FrozenTeacher`` in float32.
        half: The precision to try.
        full: The losses of the float32 teacher, by the names they have in messages.
        losses_of: Runs the teacher again and computes the same losses.

    Raises:
        ValueError: It was asked for by name, and fails or changes a loss by more than ``teacher.dtype_tolerance``.
            Where it was a choice, the teacher stays in float32 and the log says so.
    """
    name = str(half).removeprefix('torch.')
    teacher.dtype = half
    try:
        half_losses = losses_of()
    except Exception as error:
        problem = f'it fails with {type(error).__name__}: {error}'
    else:
        pairs = {title: (_value(loss), _value(half_losses[title])) for title, loss in full.items()}
        differences = {title: abs(b - a) / max(abs(a), 1e-12) for title, (a, b) in pairs.items()}
        text = ', '.join(f'{title} {100 * part:.2g} %' for title, part in differences.items())
        refused = [
            t for t, (a, b) in pairs.items() if not abs(b - a) <= max(teacher.dtype_tolerance * abs(a), NEGLIGIBLE)
        ]
        if not refused:
            print_log(
                f"Teacher in {name}; losses differ from those of a float32 teacher by {text}. teacher.dtype='float32' "
                'avoids it.',
                logger='current',
            )
            return
        problem = (
            f'{refused[0]} differs by {100 * differences[refused[0]]:.2g} % from that of a float32 teacher, more than '
            f'teacher.dtype_tolerance={teacher.dtype_tolerance}'
        )
    teacher.dtype = None
    if not teacher.chooses_dtype:
        raise ValueError(
            f"teacher.dtype={name!r}: {problem}. teacher.dtype='float32' is safe; teacher.float32_layers=[...] names "
            'layers that are to stay in float32'
        )
    print_log(f'Teacher in float32, since in {name} {problem}.', logger='current', level=logging.WARNING)


def _value(loss) -> float:
    return sum(float(tensor.sum()) for tensor in tensors_in(loss))
