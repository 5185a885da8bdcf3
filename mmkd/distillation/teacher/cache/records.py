"""What recorders hold of a batch, taken apart into tensors by image, and put together again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ...taps.levels import tensors_in
from ...taps.recorders import Recorders

__all__ = ['restore_records', 'take_apart']

CONTAINERS = {'list': list, 'tuple': tuple}


def take_apart(recorders: Recorders, images: int, dtype: torch.dtype) -> tuple[list[list[Tensor]], str]:
    """What recorders hold, for each image of a batch, and how it belongs together.

    Args:
        recorders: Of the teacher, right after it ran.
        images: Number of images in the batch.
        dtype: What numbers with a fraction are kept in.

    Raises:
        ValueError: A tap gives what is not one item for each image, or a number is too large for ``dtype``.
    """
    tensors, structure = [], {}
    for name, recorder in recorders.recorders.items():
        structure[name] = dict(
            calls=recorder.calls,
            ends=[recorder._ends.get(tap) for tap in recorder.taps],
            data=_describe(recorder.data_buffer, recorder.source),
        )
        for tensor in tensors_in(recorder.data_buffer):
            if tensor.ndim == 0 or len(tensor) != images:
                raise ValueError(
                    f'teacher.cache: tap {recorder.source!r} gives {tuple(tensor.shape)} for {images} images, and only '
                    'what is one map for each image can be kept; leave teacher.cache out'
                )
            kept = tensor.to(dtype) if tensor.is_floating_point() else tensor
            if not kept.isfinite().all() and tensor.isfinite().all():
                raise ValueError(
                    f'teacher.cache.dtype: tap {recorder.source!r} has numbers as large as '
                    f"{float(tensor.abs().max()):g}, which {str(dtype).removeprefix('torch.')} cannot hold; 'bfloat16' "
                    "or 'float32' can"
                )
            tensors.append(kept)
    return [[tensor[i] for tensor in tensors] for i in range(images)], json.dumps(structure)


def restore_records(
    recorders: Recorders, images: Sequence[Sequence[Tensor]], structure: str, device: torch.device
) -> None:
    """Has the recorders hold what :func:`take_apart` took from them."""
    tensors = (_as_batch(of_all, device) for of_all in zip(*images, strict=True))
    for name, described in json.loads(structure).items():
        recorder = recorders.get_recorder(name)
        recorder.clear()
        recorder.calls = described['calls']
        recorder.data_buffer = _rebuild(described['data'], tensors)
        recorder._ends = {tap: n for tap, n in zip(recorder.taps, described['ends'], strict=True) if n is not None}


def _as_batch(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    batch = torch.stack(list(tensors)).to(device)
    return batch.float() if batch.is_floating_point() else batch


def _describe(value: Any, source: str) -> Any:
    if isinstance(value, Tensor):
        return None
    if isinstance(value, dict):
        return {'dict': {key: _describe(item, source) for key, item in value.items()}}
    if type(value).__name__ in CONTAINERS:
        return {type(value).__name__: [_describe(item, source) for item in value]}
    raise ValueError(
        f'teacher.cache: tap {source!r} gives a {type(value).__name__}, and only tensors in lists, tuples and dicts '
        'can be kept; leave teacher.cache out'
    )


def _rebuild(described: Any, tensors: Iterator[Tensor]) -> Any:
    if described is None:
        return next(tensors)
    ((kind, items),) = described.items()
    if kind == 'dict':
        return {key: _rebuild(item, tensors) for key, item in items.items()}
    return CONTAINERS[kind](_rebuild(item, tensors) for item in items)
