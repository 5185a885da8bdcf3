"""What is read from a network, where that is in it, and when all of it has been computed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ['Tap', 'enclosing_child', 'locate', 'on_call', 'on_return', 'watched']


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
    parent, _, method = source.rpartition('.')
    try:
        return model.get_submodule(source), None
    except AttributeError:  # also where it is something else than a module
        pass
    try:
        module = model.get_submodule(parent)
    except AttributeError:
        module = None
    if module is not None and callable(getattr(module, method, None)):
        return module, method
    raise LookupError(f'{type(model).__name__} has no module or method {source!r}')


def enclosing_child(model: nn.Module, source: str) -> nn.Module | None:
    """The outermost module around ``source`` that has a forward of its own; None if there is none but the model."""
    names = source.split('.')
    for depth in range(1, len(names)):
        module = model.get_submodule('.'.join(names[:depth]))
        if not isinstance(module, (nn.ModuleList, nn.ModuleDict)):
            return module
    return None


@contextmanager
def on_call(owner: Any, name: str, callback: Callable[[tuple, dict, Any], None]) -> Iterator[None]:
    """Has ``callback(args, kwargs, output)`` called after each call of ``owner.name`` inside this context.

    Args:
        owner: A module of a network, whose bound method is meant; a class, or a Python module.
        name: The name of the method or function there.
        callback: Called with what it was called with, ``self`` first in the case of a class, and what it returned.
    """
    own = vars(owner).get(name)
    function = getattr(owner, name)
    callback = torch.compiler.disable(callback)  # in a compiled network: what is seen there are real tensors

    @functools.wraps(function)
    def call_and_tell(*args, **kwargs):
        output = function(*args, **kwargs)
        callback(args, kwargs, output)
        return output

    setattr(owner, name, call_and_tell)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def on_return(module: nn.Module, method: str, callback: Callable[[Any], None]):
    """Has ``callback`` called with what a method of the module returned, whenever it did, inside a context."""
    return on_call(module, method, lambda args, kwargs, output: callback(output))


@contextmanager
def watched(
    model: nn.Module, tap: Tap, complete: Callable[[], None], count: Callable[[int], None] | None = None
) -> Iterator[None]:
    """Has ``complete`` called once all that a tap names has been computed, inside this context.

    A tap of known calls is complete right after the last of them. Of a tap whose calls are not known (a head shared by
    an unknown number of levels) it is known that they are over when the forward of the enclosing child of the model
    (``bbox_head`` of ``bbox_head.conv_cls``) returns. A child of the model has none around it: it is never complete.

    Hooks that store the outputs must be registered before this is entered.

    Args:
        model: The network that runs.
        tap: What is read from it.
        complete: Called once.
        count: Called with the number of calls, after each.
    """
    seen, done = 0, False

    def finish() -> None:
        nonlocal done
        if not done:
            done = True
            complete()

    def called(output: Any) -> None:
        nonlocal seen
        seen += 1
        if count is not None:
            count(seen)
        if seen == tap.calls or (tap.one_sequence and isinstance(output, (tuple, list))):
            finish()

    with ExitStack() as stack:
        module, method = locate(model, tap.source)
        if method is None:
            called = torch.compiler.disable(called)
            stack.callback(module.register_forward_hook(lambda module, args, output: called(output)).remove)
        else:
            stack.enter_context(on_return(module, method, called))
        around = enclosing_child(model, tap.source) if tap.calls is None else None
        if around is not None:
            # Not a forward hook, since mmdet and mmseg call ``head.forward(...)`` directly, which runs no hooks.
            stack.enter_context(on_return(around, 'forward', lambda output: finish() if seen else None))
        yield
