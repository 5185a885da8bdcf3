"""One forward of both networks before training, to find mistakes while they are cheap."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..losses.context import LossContext, asked_for
from ..teacher.early_exit import run_until_last_tap
from ..teacher.isolation import evaluating, own_random_numbers, preserve_rng_state, run_as_in_training
from ..teacher.network import device_of, run_network
from ..teacher.weights_read import weights_read
from .dummy_batch import dummy_batch
from .gradients import check_gradients
from .half_precision import try_half_precision

__all__ = ['check_losses', 'teacher_weights_read']


def teacher_weights_read(algorithm, model: nn.Module) -> set[str] | None:
    """The names of the teacher's weights that distillation uses; None where that may be any of them.

    Args:
        algorithm: A ``DenseDistill``.
        model: The network of its teacher, with any weights.

    Raises:
        ValueError: A tap does not exist.
    """
    teacher, distiller, recorders = algorithm.teacher, algorithm.distiller, algorithm.teacher_recorders
    recorders.initialize(model)
    if not algorithm.knows_what_is_read or not recorders.read_network_alone:
        return None
    uses_networks = any('teacher' in asked_for(loss) for loss in distiller.distill_losses.values())
    ends_early = teacher.early_exit and teacher.mode != 'loss' and not distiller.deliveries.deliveries
    if uses_networks or not ends_early or not all(recorder.of_module for recorder in recorders.recorders.values()):
        return None
    stopped = False

    def forward(image: Tensor, samples: list) -> None:
        nonlocal stopped
        run = partial(run_network, model, image, samples, 'tensor')
        stopped = run_until_last_tap(model, recorders.taps, run, teacher.known_calls)

    def look(size: Sequence[int]) -> set[str]:
        run = partial(forward, *dummy_batch(size, device_of(model)))
        with evaluating(model), preserve_rng_state(), torch.no_grad():
            run()  # how often a child of the model is called is known from the second time on
            return weights_read(model, run)

    try:
        read = algorithm.trial_sizes.first_that_works(look)
    except Exception:  # what is wrong is said when it is run as in training
        return None
    inherited = tuple(f'{name}.' for name in algorithm.inherit.values())
    return read | {key for key in model.state_dict() if key.startswith(inherited)} if stopped else None


class _StudentFails(Exception):
    """The student does not run on a made-up image."""


def check_losses(algorithm) -> None:
    """Runs both networks on a small image and computes every distillation loss of it, without a trace.

    The student runs in ``mode='tensor'``, since there is nothing to learn from. What it records in ``mode='loss'`` only
    (an auxiliary head) is not checked. It does so with gradients, to see which of its taps need one.

    The teacher runs in float32, and once more in half precision where that is meant: see :func:`try_half_precision`.
    What could not be compared leaves a teacher that may choose in float32.

    Args:
        algorithm: A ``DenseDistill`` whose teacher is built.

    Raises:
        ValueError: A loss cannot be computed, or cannot teach the student; says which, from what, and why.
    """
    try:
        algorithm.trial_sizes.first_that_works(partial(_check_with_images_of, algorithm))
    except _StudentFails as error:
        print_log(
            f'The distillation losses were not checked before training: {error}. dry_run=dict(size=(H, W)) sets '
            'another size.',
            logger='current',
            level=logging.WARNING,
        )


def _check_with_images_of(algorithm, size: Sequence[int]) -> None:
    student, distiller = algorithm.student, algorithm.distiller
    image, samples = dummy_batch(size, next(student.parameters()).device)
    context = algorithm.context(image, samples)
    teacher = algorithm.teacher
    half = teacher.half_precision(image.device)
    asked, teacher.dtype = teacher.dtype, None
    try:
        with evaluating(distiller), preserve_rng_state(), torch.no_grad():
            _run_teacher(algorithm, image, samples)
            _run_student(algorithm, image, samples)
            if not algorithm.knows_what_is_read:
                return
            recorded = [
                name
                for name in distiller.loss_forward_mappings
                if all(reading.recorder.data_buffer for reading in distiller.readings(name))
            ]
            for name in recorded:
                _point_out_unread_calls(distiller, name)
            full = _losses(distiller, recorded, context)
            for name in recorded if algorithm.student_trainable else ():
                check_gradients(distiller, name)

            def in_half_precision() -> dict:
                algorithm.run_teacher(image, samples)
                return _losses(distiller, recorded, context)

            if half is not None and recorded:
                try_half_precision(teacher, half, full, in_half_precision)
                asked = teacher.dtype
    finally:
        teacher.dtype = asked
        algorithm.clear_records()


def _losses(distiller, names: Sequence[str], context: LossContext) -> dict:
    """Losses of what is recorded, by their titles; what is random in them is the same in each call."""
    with own_random_numbers(0):
        return {distiller.title(name): distiller.compute_loss(name, context) for name in names}


def _run_teacher(algorithm, image: Tensor, samples: list) -> None:
    """Runs the teacher as in training, and settles its mode: outputs only, if these are all that is recorded."""
    teacher, recorders = algorithm.teacher, algorithm.teacher_recorders
    if teacher.mode == 'loss':
        return  # there are no targets for a made-up image
    try:
        algorithm.run_teacher(image, samples)
    except Exception as error:
        raise ValueError(
            f"teacher: in mode='tensor', on an image of {tuple(image.shape[-2:])}, it fails with "
            f"{type(error).__name__}: {error}. Other choices: teacher.mode='loss', teacher.dtype, "
            'dry_run=dict(size=(H, W))'
        ) from error
    missed = [recorder.source for recorder in recorders.recorders.values() if not recorder.data_buffer]
    if not missed:
        return
    if not isinstance(teacher.model, BaseModel):
        raise ValueError(f'teacher: the forward of {type(teacher.model).__name__} does not reach {missed[0]!r}')
    message = f"in mode='tensor' the teacher does not reach {missed[0]!r}"
    if teacher.mode == 'tensor':
        raise ValueError(f'teacher.mode: {message}')
    print_log(f"{message}. It runs in mode='loss', which takes longer.", logger='current', level=logging.WARNING)
    teacher.mode = 'loss'
    teacher.known_calls.clear()  # there, modules may be called more often
    algorithm.clear_records()


def _run_student(algorithm, image: Tensor, samples: list) -> None:
    student = algorithm.student

    def run() -> None:
        with torch.enable_grad(), algorithm.student_recorders.attached(student, learn=False):
            student(image, samples, mode='tensor')

    try:
        run_as_in_training(student, run)
    except Exception as error:
        size = tuple(image.shape[-2:])
        raise _StudentFails(f'on an image of {size} the student fails with {type(error).__name__}: {error}') from error


def _point_out_unread_calls(distiller, name: str) -> None:
    """Says where a tap fires several times and nobody has said which call is meant: mmrazor reads the first."""
    for reading in distiller.readings(name):
        if reading.skips_calls:
            print_log(
                f'{distiller.title(name)}: tap {reading.source!r} of the {reading.side} fires '
                f"{reading.recorder.calls} times, of which the first is read. levels='all' reads all of them, "
                'record_idx another.',
                logger='current',
                level=logging.WARNING,
            )
