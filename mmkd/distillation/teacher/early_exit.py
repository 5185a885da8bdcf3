"""Stopping a network's forward once everything that is read from it has been computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

__all__ = ['Tap', 'locate', 'on_return', 'run_until_last_tap']


@dataclass(frozen=True)
class Tap:
    """What is read from one module during one forward.

    Attributes:
        source: Name of the module, or of one of its methods (see :func:`locate`).
        calls: How many of its calls are read; None for all of them, however many there are.
        one_sequence: Whether a single call that gives a tuple or list of levels is all that is read, so that no
            further call need be awaited.
    """

    source: str
    calls: int | None = 1
    one_sequence: bool = False


def locate(model: nn.Module, source: str) -> tuple[nn.Module, str | None]:
    """Finds what a tap names: a module, ``'neck'``, or a method of one, ``'roi_head.mask_loss'``.

    Methods are for what no module of its own computes, and for what is called past the hooks of its module, as
    ``bbox_head.forward`` of mmdet's detectors.

    Returns:
        The module, and the name of its method or None.

    Raises:
        LookupError: There is neither.
    """
    modules = dict(model.named_modules())
    if source in modules:
        return modules[source], None
    parent, _, method = source.rpartition('.')
    if parent in modules and method and callable(getattr(modules[parent], method, None)):
        return modules[parent], method
    raise LookupError(f'{type(model).__name__} has no module or method {source!r}')


@contextlib.contextmanager
def on_return(module: nn.Module, method: str, callback: Callable[[Any], None]) -> Iterator[None]:
    """Has ``callback`` called with what a method of the module returned, whenever it did, inside this context."""
    own = module.__dict__.get(method)
    bound = getattr(module, method)

    def call_and_tell(*args, **kwargs):
        output = bound(*args, **kwargs)
        callback(output)
        return output

    setattr(module, method, call_and_tell)
    try:
        yield
    finally:
        if own is None:
            delattr(module, method)
        else:
            setattr(module, method, own)


class _LastTapReached(BaseException):
    """Carries control out of the forward. No Exception, so that no ``except Exception`` on its way swallows it."""


def run_until_last_tap(
    model: nn.Module,
    taps: Sequence[Tap],
    forward: Callable[[], object],
    known_calls: dict[str, int] | None = None,
) -> bool:
    """Calls ``forward`` and ends it when the last tap has been read.

    A tap of known calls is complete right after the last of them. Of a tap whose calls are not known (a head shared by
    an unknown number of levels) it is known that they are over when the forward of the enclosing child of the model
    (``bbox_head`` of ``bbox_head.conv_cls``) returns. A child of the model has none around it: how often it is called
    is known from the second time on. If a tap is never complete, the forward simply runs to its end.

    Hooks that store the outputs must be registered before this is called.

    Args:
        model: The network that ``forward`` runs.
        taps: Everything that is read from it. Empty: the forward is not run at all.
        forward: Runs the network.
        known_calls: How often children of the model are called in a forward, as far as it is known; what is found out
            is added. Without it, nothing is remembered.

    Returns:
        Whether the forward was stopped before its end.
    """
    if not taps:
        return True
    known_calls = {} if known_calls is None else known_calls
    waiting = dict(enumerate(taps))
    counted: dict[str, int] = {}

    def complete(index: int) -> None:
        waiting.pop(index, None)
        if not waiting:
            raise _LastTapReached

    with contextlib.ExitStack() as stack:
        for index, tap in enumerate(taps):
            if tap.calls is None and _enclosing_child(model, tap.source) is None:
                tap = replace(tap, calls=known_calls.get(tap.source, 0))
                counted[tap.source] = 0
            _watch(model, tap, lambda index=index: complete(index), stack, counted)
        try:
            forward()
        except _LastTapReached:
            return True
    known_calls.update((source, calls) for source, calls in counted.items() if calls)
    return False


def _watch(
    model: nn.Module, tap: Tap, complete: Callable[[], None], stack: contextlib.ExitStack, counted: dict[str, int]
) -> None:
    """Has ``complete`` called once the tap has been read, until the stack is closed."""
    seen = 0

    def count(output):
        nonlocal seen
        seen += 1
        if tap.source in counted:
            counted[tap.source] = seen
        if seen == tap.calls or (tap.one_sequence and isinstance(output, (tuple, list))):
            complete()

    module, method = locate(model, tap.source)
    if method is None:
        stack.callback(module.register_forward_hook(lambda module, args, output: count(output)).remove)
    else:
        stack.enter_context(on_return(module, method, count))
    if tap.calls is None:
        # Not a forward hook, since mmdet and mmseg call ``head.forward(...)`` directly, which runs no hooks.
        enclosing = _enclosing_child(model, tap.source)
        stack.enter_context(on_return(enclosing, 'forward', lambda _: complete() if seen else None))


def _enclosing_child(model: nn.Module, source: str) -> nn.Module | None:
    """The outermost module around ``source`` that has a forward of its own; None if there is none but the model."""
    names = source.split('.')
    for depth in range(1, len(names)):
        module = model.get_submodule('.'.join(names[:depth]))
        if not isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            return module
    return None
