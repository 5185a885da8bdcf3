"""Stopping a network's forward once everything that is read from it has been computed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import nn

from ..taps.tap import Tap, enclosing_child, watched

__all__ = ['run_until_last_tap']


class _LastTapReached(BaseException):
    """Carries control out of the forward. No Exception, so that no ``except Exception`` on its way swallows it."""


def run_until_last_tap(
    model: nn.Module,
    taps: Sequence[Tap],
    forward: Callable[[], object],
    known_calls: dict[str, int] | None = None,
) -> bool:
    """Calls ``forward`` and ends it when the last tap has been read (see :func:`watched`).

    How often a child of the model is called is known from the second time on. If a tap is never complete, the forward
    simply runs to its end.

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
    waiting = set(range(len(taps)))
    counted: dict[str, int] = {}

    def complete(index: int) -> None:
        waiting.discard(index)
        if not waiting:
            raise _LastTapReached

    with contextlib.ExitStack() as stack:
        for index, tap in enumerate(taps):
            count = None
            if tap.calls is None and enclosing_child(model, tap.source) is None:
                tap = replace(tap, calls=known_calls.get(tap.source, 0))
                count = partial(counted.__setitem__, tap.source)
            stack.enter_context(watched(model, tap, partial(complete, index), count))
        try:
            forward()
        except _LastTapReached:
            return True
    known_calls.update(counted)
    return False
