"""The recorders of one network, and that what they keep is what the tap names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmkd.compat import checkpointing_with_gradients

from .levels import mapped, tensors_in
from .recorder import Recorder
from .tap import Tap

__all__ = ['Recorders']

Originals = list[tuple[str, Tensor, int]]


class Recorders:
    """The recorders of one network, in the place of mmrazor's ``RecorderManager``.

    mmrazor hooks its recorders to the networks for good and empties them when the next recording begins. These are
    attached while a network runs, and are emptied by the algorithm.

    A recorded tensor is what the tap names: modules with an ``inplace`` option that would write over it are switched
    to ``inplace=False`` when they first meet one, and a tap that is overwritten in any other way (``out += identity``
    in a residual block) is recorded as a copy. Which taps these are is seen the first time they are recorded; until
    then every tap is copied.

    Args:
        configs: For each recorder by name ``dict(type=..., source=...)``, see :class:`Recorder`.
        side: ``'student'`` or ``'teacher'``, for messages.

    Attributes:
        keep_inplace: Leave the ``inplace`` options alone and copy instead.

    Raises:
        ValueError: One of the configs is wrong.
    """

    def __init__(self, configs: Mapping[str, Mapping] | None, side: str):
        named = ((name, config) for name, config in (configs or {}).items() if name != '_scope_')
        self.recorders = {name: Recorder.from_config(config, f'{side}_recorders.{name}') for name, config in named}
        self.side = side
        self.keep_inplace = False
        self.overwritten: dict[str, bool] = {}  # what is known of the taps so far
        self.without_gradients: set[str] = set()  # the taps that were last recorded where gradients are switched off

    def get_recorder(self, name: str) -> Recorder:
        """The recorder of that name."""
        return self.recorders[name]

    @property
    def taps(self) -> list[Tap]:
        """All that is read from modules."""
        return [tap for recorder in self.recorders.values() if recorder.of_module for tap in recorder.taps]

    @property
    def read_network_alone(self) -> bool:
        """Whether all of them record modules or parameters, none of them Python functions or methods."""
        return all(recorder.reads_network for recorder in self.recorders.values())

    def initialize(self, model: nn.Module) -> None:
        """Looks whether the model has what is recorded.

        Raises:
            ValueError: A tap names no module of the model, in which case the nearest names are given; or one that is
                never called.
        """
        for recorder in self.recorders.values():
            try:
                recorder.check(model, self.side)
            except LookupError:
                names = dict(model.named_modules())
                near = difflib.get_close_matches(recorder.source, names, n=3, cutoff=0.5) or [
                    child for child, _ in model.named_children()
                ]
                raise ValueError(
                    f'{recorder.key}: the {self.side} has no module {recorder.source!r}; '
                    f'did you mean {" or ".join(map(repr, near))}?'
                ) from None

    @contextmanager
    def attached(self, model: nn.Module, learn: bool = True) -> Iterator[None]:
        """Records what the model does inside this context.

        Args:
            model: The network that ``initialize`` was called with, or a copy.
            learn: Whether this is a forward as it is going to be repeated, from which to learn what is overwritten.

        Raises:
            RuntimeError: A tap is overwritten in place which was not when it was first recorded.
        """
        originals: Originals = []
        with ExitStack() as stack:
            if not self.keep_inplace and self._sources() - self.overwritten.keys():
                stack.enter_context(_inplace_switched_off_on(model, originals))
            stack.enter_context(checkpointing_with_gradients())
            for recorder in self.recorders.values():
                keep = partial(self._keep, recorder.source, originals) if recorder.of_module else _as_it_is
                stack.enter_context(recorder.attached(model, keep))
            yield
        if learn:
            self._learn(originals)

    def clear(self) -> None:
        """Lets go of everything recorded, and of the graph behind it."""
        self.without_gradients.clear()
        for recorder in self.recorders.values():
            recorder.clear()

    def _sources(self) -> set[str]:
        return {recorder.source for recorder in self.recorders.values() if recorder.of_module}

    def _keep(self, source: str, originals: Originals, value: Any) -> Any:
        if not torch.is_grad_enabled():
            self.without_gradients.add(source)
        for tensor in tensors_in(value):
            originals.append((source, tensor, tensor._version))
        return mapped(Tensor.clone if self.overwritten.get(source, True) else _aliased, value)

    def _learn(self, originals: Originals) -> None:
        overwritten = {source for source, tensor, version in originals if tensor._version != version}
        changed = {source for source in overwritten if self.overwritten.get(source) is False}
        if changed:
            raise RuntimeError(
                f"the {self.side}'s {sorted(changed)} were written over in place after they were recorded, which they "
                'were not in the first step; a model that changes its way must not do that'
            )
        for source, _, _ in originals:
            self.overwritten.setdefault(source, source in overwritten)


@contextmanager
def _inplace_switched_off_on(model: nn.Module, originals: Originals) -> Iterator[None]:
    """Switches ``inplace`` off for good on every module that is about to write over one of ``originals``."""

    @torch.compiler.disable
    def switch_off(module: nn.Module, args: tuple) -> None:
        written = {tensor.untyped_storage().data_ptr() for tensor in tensors_in(args)}
        if any(tensor.untyped_storage().data_ptr() in written for _, tensor, _ in originals):
            module.inplace = False

    with ExitStack() as stack:
        for module in model.modules():
            if getattr(module, 'inplace', False) is True:
                stack.callback(module.register_forward_pre_hook(switch_off).remove)
        yield


def _aliased(tensor: Tensor) -> Tensor:
    """The same values, as another node of the graph.

    With it the gradients of several losses on one tap are added up in the same order as where the tap is copied, in the
    first step of a run. Otherwise a resumed run would differ from the uninterrupted one in the last bit.
    """
    return tensor.view_as(tensor)


def _as_it_is(value: Any) -> Any:
    return value
