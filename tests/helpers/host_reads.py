"""Counts how often the host would wait for a GPU, without one."""

from __future__ import annotations

import torch
from torch import Tensor

_SCALARS = (Tensor.item, Tensor.tolist, Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__)
_WAITING = (*_SCALARS, Tensor.cpu, Tensor.numpy, Tensor.nonzero, torch.nonzero, torch.unique, Tensor.unique)


class OnDevice(Tensor):
    """A tensor that is taken to lie on a GPU, as is all that is computed from it; what ``cpu`` gives is not.

    Waiting are: reading a value, a copy to the host, and whatever has a size that depends on values.
    """

    reads: list[str] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _WAITING or _has_boolean_index(func, args) or _is_repetition(func, kwargs):
            cls.reads.append(getattr(func, '__name__', str(func)))
            if func in (Tensor.cpu, Tensor.numpy):
                return func(args[0].as_subclass(Tensor), *args[1:], **kwargs)
        return super().__torch_function__(func, types, args, kwargs)


def _has_boolean_index(func, args) -> bool:
    if func not in (Tensor.__getitem__, Tensor.__setitem__):
        return False
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in index)


def _is_repetition(func, kwargs) -> bool:
    return func is torch.repeat_interleave and kwargs.get('output_size') is None


def on_device(tensor: Tensor) -> OnDevice:
    return tensor.as_subclass(OnDevice)


def reads_of(function, *args, **kwargs) -> list[str]:
    """What waited for the device while the function ran."""
    OnDevice.reads.clear()
    function(*args, **kwargs)
    return list(OnDevice.reads)
