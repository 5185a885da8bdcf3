"""One forward of both networks before training: to size the connectors, and to find mistakes while they are cheap."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor, nn

from mmkd.compat import import_mmrazor

from ..recipes.dense_distiller import DenseDistiller, parts_of
from ..recipes.short_form import Entry
from ..teacher import FrozenTeacher
from ..teacher.early_exit import run_until_last_tap
from ..teacher.isolation import evaluating, preserve_rng_state
from ..teacher.network import device_of, run_network
from ..teacher.weights_read import weights_read
from .gradients import check_gradients
from .recording import TapRecorders, read_record, tap_of, tensors_in

import_mmrazor()
from mmrazor.models.task_modules import RecorderManager  # noqa: E402

__all__ = ['check_losses', 'dummy_batch', 'infer_channels', 'teacher_weights_read']

Channels = dict[str, list[tuple[int | None, int | None]]]


def dummy_batch(size: Sequence[int], device: torch.device | None) -> tuple[Tensor, list[BaseDataElement]]:
    """One image (1, 3, H, W) of noise, the same at each call, and a data sample that says how large it is."""
    height, width = size
    image = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device or 'cpu')
    shape = (height, width)
    sizes = dict(img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
    return image, [BaseDataElement(metainfo=sizes)]


# ---- numbers of channels ---------------------------------------------------------------------------------------------


def infer_channels(
    entries: Sequence[Entry], student: nn.Module, teacher: FrozenTeacher, size: Sequence[int]
) -> Channels:
    """Finds out what the connectors connect, by looking at the shapes of what the taps give.

    Of the teacher only a skeleton is run, without its checkpoint. Entries whose connectors are fully
    configured are not looked at.

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
        channels.update((name, list(zip(students[name], teachers[name], strict=False))) for name in students)
    return channels


def _channels_of(entries: Sequence[Entry], side: str, model: nn.Module, size: Sequence[int]) -> dict[str, list[int]]:
    with DefaultScope.overwrite_default_scope('mmrazor'):
        manager = RecorderManager({k: v for entry in entries for k, v in entry.recorders(side).items()})
    recorders = TapRecorders(manager, side, keep_inplace=True)
    recorders.initialize(model)
    parts = {entry.name: parts_of(dict(entry.record(side), recorder=entry.name)) for entry in entries}
    taps = [tap_of(manager.get_recorder(part['recorder']), **_where(part)) for one in parts.values() for part in one]
    image, samples = dummy_batch(size, device_of(model))
    with evaluating(model), preserve_rng_state(), torch.no_grad(), recorders.attached(model, learn=False):
        run_until_last_tap(model, taps, lambda: run_network(model, image, samples, 'tensor'))
    channels = {}
    for entry in entries:
        try:
            record = [
                read_record(manager.get_recorder(part['recorder']), side, **_where(part)) for part in parts[entry.name]
            ]
        except ValueError as error:
            raise ValueError(f'distill.{entry.name}: {error}') from error
        channels[entry.name] = [_channels(tensor) for tensor in tensors_in(record)]
    return channels


def _channels(tensor: Tensor) -> int:
    return tensor.size(-1 if tensor.dim() == 3 else 1)  # of a transformer's tokens (N, L, C), or of a map (N, C, H, W)


def _where(part: dict) -> dict:
    return {key: value for key, value in part.items() if key not in ('recorder', 'more')}


# ---- weights of the teacher ------------------------------------------------------------------------------------------


def teacher_weights_read(algorithm, model: nn.Module, size: Sequence[int]) -> set[str] | None:
    """The names of the teacher's weights that distillation uses; None where that may be any of them.

    Args:
        algorithm: A ``DenseDistill``.
        model: The network of its teacher, with any weights.
        size: Height and width of the image to try it with.

    Raises:
        ValueError: A tap does not exist.
    """
    teacher, distiller, recorders = algorithm.teacher, algorithm.distiller, algorithm.teacher_recorders
    recorders.initialize(model)
    uses_networks = any(getattr(part, 'needs_networks', False) for part in distiller.modules())
    by_modules = all(hasattr(recorder, 'forward_hook') for recorder in recorders.recorders.values())
    ends_early = teacher.early_exit and teacher.mode != 'loss' and not distiller.deliveries.deliveries
    if uses_networks or not by_modules or not ends_early or not isinstance(distiller, DenseDistiller):
        return None
    image, samples = dummy_batch(size, device_of(model))
    stopped = False

    def forward() -> None:
        nonlocal stopped
        run = partial(run_network, model, image, samples, 'tensor')
        stopped = run_until_last_tap(model, distiller.teacher_taps(), run, teacher.known_calls)

    try:
        with evaluating(model), preserve_rng_state(), torch.no_grad():
            forward()  # how often a child of the model is called is known from the second time on
            read = weights_read(model, forward)
    except Exception:  # what is wrong is said when it is run as in training
        return None
    inherited = tuple(f'{name}.' for name in algorithm.inherit.values())
    return read | {key for key in model.state_dict() if key.startswith(inherited)} if stopped else None


# ---- losses ----------------------------------------------------------------------------------------------------------


def check_losses(algorithm, size: Sequence[int]) -> None:
    """Runs both networks on a small image and computes every distillation loss of it, without a trace.

    The student runs in ``mode='tensor'``, since there is nothing to learn from. What it records in training only (an
    auxiliary head) is not checked. It does so with gradients, to see which of its taps need one.

    Args:
        algorithm: A ``DenseDistill`` whose teacher is built.
        size: Height and width of the image.

    Raises:
        ValueError: A loss cannot be computed, or cannot teach the student; says which, from what, and why.
    """
    student, distiller = algorithm.student, algorithm.distiller
    image, samples = dummy_batch(size, next(student.parameters()).device)
    try:
        distiller.networks = (student, algorithm.teacher)
        distiller.data_samples = [_with_ground_truth(sample, size, image.device) for sample in samples]
        with evaluating(student, distiller), preserve_rng_state(), torch.no_grad():
            _run_teacher(algorithm, image, samples)
            comparable = _run_student(algorithm, image, samples) and isinstance(distiller, DenseDistiller)
            for name, mapping in distiller.loss_forward_mappings.items():
                if comparable and all(_was_recorded(distiller, record) for record in mapping.values()):
                    _point_out_unread_calls(distiller, name)
                    distiller.compute_loss(name)
                    if algorithm.student_trainable:
                        check_gradients(distiller, algorithm.student_recorders, name)
    finally:
        algorithm.clear_records()


def _with_ground_truth(sample: BaseDataElement, size: Sequence[int], device: torch.device) -> BaseDataElement:
    """A copy with made-up boxes and labels, for losses that look at them: two objects, and class 0 everywhere."""
    height, width = size
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.7], [0.4, 0.3, 0.9, 0.6]]) * torch.tensor([width, height, width, height])
    sample = sample.clone()
    sample.gt_instances = InstanceData(bboxes=boxes.to(device), labels=torch.zeros(2, dtype=torch.long, device=device))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, height, width, dtype=torch.long, device=device))
    return sample


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


def _run_student(algorithm, image: Tensor, samples: list) -> bool:
    try:
        with torch.enable_grad(), algorithm.student_recorders.attached(algorithm.student, learn=False):
            algorithm.student(image, samples, mode='tensor')
    except Exception as error:
        print_log(
            f'The distillation losses were not checked before training: on an image of {tuple(image.shape[-2:])} the '
            f'student fails with {type(error).__name__}: {error}. dry_run=dict(size=(H, W)) sets another size.',
            logger='current',
            level=logging.WARNING,
        )
        return False
    return True


def _point_out_unread_calls(distiller: DenseDistiller, name: str) -> None:
    """Says where a tap fires several times and nobody has said which call is meant: mmrazor reads the first."""
    for record in distiller.loss_forward_mappings[name].values():
        side = 'student' if record['from_student'] else 'teacher'
        for part in parts_of(record):
            recorder = getattr(distiller, f'{side}_recorders').get_recorder(part['recorder'])
            calls = len(recorder.data_buffer)
            if calls > 1 and part.get('levels') is None and 'record_idx' not in part:
                print_log(
                    f'{distiller.title(name)}: tap {recorder.source!r} of the {side} fires {calls} times, of which the '
                    "first is read. levels='all' reads all of them, record_idx another.",
                    logger='current',
                    level=logging.WARNING,
                )


def _was_recorded(distiller, record: dict) -> bool:
    manager = distiller.student_recorders if record['from_student'] else distiller.teacher_recorders
    return all(manager.get_recorder(part['recorder']).data_buffer for part in parts_of(record))
