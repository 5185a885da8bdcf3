"""Which weights of a network take part in what it is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ['weights_read']


class _Reading(TorchDispatchMode):
    """Notes which of the given tensors an operation gets, below everything that may hide one: hooks, ``weight`` of a
    layer that is never called, autograd functions."""

    def __init__(self, names: dict[int, list[str]]):
        super().__init__()
        self.names = names
        self.read: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for value in tree_leaves((args, kwargs)):
            self.read.update(self.names.get(id(value), ()))
        return func(*args, **(kwargs or {}))


def weights_read(model: nn.Module, forward: Callable[[], object]) -> set[str]:
    """The names of the parameters and buffers of ``model`` that ``forward`` computes with."""
    names = defaultdict(list)  # several, where they are shared
    for key, value in model.state_dict(keep_vars=True).items():
        names[id(value)].append(key)
    with _Reading(names) as reading:
        forward()
    return reading.read
