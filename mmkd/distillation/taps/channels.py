"""How many channels the taps give, found by looking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..recipes.short_form import Entry
from ..teacher import FrozenTeacher
from ..teacher.early_exit import run_until_last_tap
from ..teacher.isolation import evaluating, preserve_rng_state, run_as_in_training
from ..teacher.network import device_of, run_network
from .dummy_batch import dummy_batch
from .levels import Reading, tensors_in
from .recorders import Recorders

__all__ = ['infer_channels']

Channels = dict[str, list[tuple[int | None, int | None]]]


def infer_channels(
    entries: Sequence[Entry], student: nn.Module, teacher: FrozenTeacher, size: Sequence[int]
) -> Channels:
    """Finds out what the connectors connect, by looking at the shapes of what the taps give.

    Both networks run as they do when the student is trained: the student in training mode, in which some backbones give
    other outputs than in testing (PIDNet, DDRNet), the teacher in eval mode. Of the teacher only a skeleton is run,
    without its checkpoint. Entries whose connectors are fully configured are not looked at.

    Returns:
        For each entry with a connector, the channels of (student, teacher) per level; None where its config has them.

    Raises:
        Exception: Whatever a network raises that cannot run the image; ValueError for a tap that does not exist.
    """
    channels: Channels = {
        entry.name: [(None, None)] * entry.num_levels
        for entry in entries
        if entry.connector is not None and not entry.needs_channels
    }
    wanted = [entry for entry in entries if entry.needs_channels]
    if wanted:
        students = _channels_of(wanted, 'student', student, size)
        teachers = _channels_of(wanted, 'teacher', teacher.skeleton(), size)
        channels.update((name, _pairs(name, students[name], teachers[name])) for name in students)
    return channels


def _pairs(name: str, student: list[int], teacher: list[int]) -> list[tuple[int, int]]:
    if len(student) != len(teacher):
        raise ValueError(
            f'distill.{name}: the numbers of levels differ: in training the student gives {len(student)}, the teacher '
            f'{len(teacher)}; levels=dict(student=(...), teacher=(...)) says which belong together'
        )
    return list(zip(student, teacher, strict=True))


def _channels_of(entries: Sequence[Entry], side: str, model: nn.Module, size: Sequence[int]) -> dict[str, list[int]]:
    recorders = Recorders({k: v for entry in entries for k, v in entry.recorders(side).items()}, side)
    recorders.keep_inplace = True
    recorders.initialize(model)
    readings = {}
    for entry in entries:
        first = dict(entry.record(side), recorder=entry.name)
        parts = (first, *first.get('more', ()))
        readings[entry.name] = [Reading.from_config(recorders.get_recorder(p['recorder']), side, p) for p in parts]
        for reading in readings[entry.name]:
            reading.recorder.add_tap(reading.tap)
    image, samples = dummy_batch(size, device_of(model))

    def run() -> None:
        with recorders.attached(model, learn=False):
            run_until_last_tap(model, recorders.taps, lambda: run_network(model, image, samples, 'tensor'))

    with preserve_rng_state(), torch.no_grad():
        if side == 'student':
            run_as_in_training(model, run)
        else:
            with evaluating(model):
                run()
    channels = {}
    for entry in entries:
        try:
            record = [reading.read() for reading in readings[entry.name]]
        except ValueError as error:
            raise ValueError(f'distill.{entry.name}: {error}') from error
        channels[entry.name] = [_channels(tensor) for tensor in tensors_in(record)]
    return channels


def _channels(tensor: Tensor) -> int:
    return tensor.size(-1 if tensor.dim() == 3 else 1)  # of a transformer's tokens (N, L, C), or of a map (N, C, H, W)
