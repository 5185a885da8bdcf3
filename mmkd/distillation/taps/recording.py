"""Recording what flows through a network, on top of mmrazor's recorders.

mmrazor hooks its recorders to the networks for good and empties them when the next recording begins. Here they are
attached while a network runs, hold exactly what the tapped module gave, and are emptied by the algorithm.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmkd.compat import checkpointing_with_gradients

from ..teacher.early_exit import Tap, locate, on_return

__all__ = ['Levels', 'TapRecorders', 'read_record', 'tap_of', 'tensors_in']


class TapRecorders:
    """The recorders of one network.

    A recorded tensor is what the tap names: modules with an ``inplace`` option that would write over it are switched
    to ``inplace=False`` when they first meet one, and a tap that is overwritten in any other way (``out += identity``
    in a residual block) is recorded as a copy. Which taps these are is seen the first time they are recorded; until
    then every tap is copied.

    Args:
        manager: mmrazor's ``RecorderManager``.
        side: ``'student'`` or ``'teacher'``, for messages.
        keep_inplace: Leave the ``inplace`` options alone and copy instead.
    """

    def __init__(self, manager, side: str, keep_inplace: bool = False):
        self.manager = manager
        self.side = side
        self.keep_inplace = keep_inplace
        self.overwritten: dict[str, bool] = {}  # what is known of the taps so far
        self.without_gradients: set[str] = set()  # the taps that were last recorded where gradients are switched off

    @property
    def recorders(self) -> dict[str, Any]:
        """The recorders by name."""
        return self.manager.recorders

    @property
    def only_modules(self) -> bool:
        """Whether all of them record modules or parameters, none of them Python functions or methods."""
        return all(_is_module_recorder(r) or _is_parameter_recorder(r) for r in self.recorders.values())

    def initialize(self, model: nn.Module) -> None:
        """Makes the recorders ready for a model.

        Raises:
            ValueError: A tap names no module of the model; the nearest names are given.
        """
        names = dict(model.named_modules())
        for name, recorder in self.recorders.items():
            if not _is_module_recorder(recorder):
                recorder.initialize(model)
                continue
            if not self._has(model, recorder):
                near = difflib.get_close_matches(recorder.source, names, n=3, cutoff=0.5) or [
                    child for child, _ in model.named_children()
                ]
                raise ValueError(
                    f'{self.side}_recorders.{name}: the {self.side} has no module {recorder.source!r}; '
                    f'did you mean {" or ".join(map(repr, near))}?'
                )
            recorder._initialized = True

    @contextmanager
    def attached(self, model: nn.Module, learn: bool = True) -> Iterator[None]:
        """Records what the model does inside this context.

        Args:
            model: The network that ``initialize`` was called with, or a copy.
            learn: Whether this is a forward as it is going to be repeated, from which to learn what is overwritten.

        Raises:
            RuntimeError: A tap is overwritten in place which was not when it was first recorded.
        """
        originals: list[tuple[str, Tensor, int]] = []
        with ExitStack() as stack:
            if not self.keep_inplace and self._taps() - self.overwritten.keys():
                stack.enter_context(_inplace_switched_off_on(model, originals))
            stack.enter_context(self._recording())
            stack.enter_context(checkpointing_with_gradients())
            for recorder in self.recorders.values():
                if _is_module_recorder(recorder):
                    self._hook(model, recorder, originals, stack)
            yield
        if learn:
            self._learn(originals)

    def _learn(self, originals: list[tuple[str, Tensor, int]]) -> None:
        overwritten = {source for source, tensor, version in originals if tensor._version != version}
        changed = {source for source in overwritten if self.overwritten.get(source) is False}
        if changed:
            raise RuntimeError(
                f"the {self.side}'s {sorted(changed)} were written over in place after they were recorded, which they "
                'were not in the first step; a model that changes its way must not do that'
            )
        for source, _, _ in originals:
            self.overwritten.setdefault(source, source in overwritten)

    def clear(self) -> None:
        """Lets go of everything recorded, and of the graph behind it."""
        self.without_gradients.clear()
        for recorder in self.recorders.values():
            recorder.reset_data_buffer()

    @contextmanager
    def _recording(self) -> Iterator[None]:
        # RecorderManager is a context manager that cannot fail on entering, so plain calls are safe
        self.manager.__enter__()
        try:
            yield
        finally:
            self.manager.__exit__(None, None, None)

    def _taps(self) -> set[str]:
        return {recorder.source for recorder in self.recorders.values() if _is_module_recorder(recorder)}

    @staticmethod
    def _has(model: nn.Module, recorder) -> bool:
        try:
            _, method = locate(model, recorder.source)
        except LookupError:
            return False
        return method is None or not _records_inputs(recorder)  # of a method, only what it returns is recorded

    def _hook(self, model: nn.Module, recorder, originals: list, stack: ExitStack) -> None:
        """Hooks one recorder to its module or method until the stack is closed.

        For the inputs of a module that is before it, since it may write over them, else after.
        """
        source = recorder.source

        def keep(value):
            if not torch.is_grad_enabled():
                self.without_gradients.add(source)
            for tensor in tensors_in(value):
                originals.append((source, tensor, tensor._version))
            return _mapped(Tensor.clone if self.overwritten.get(source, True) else _aliased, value)

        module, method = locate(model, source)
        if method is not None:
            context = on_return(module, method, lambda output: recorder.forward_hook(module, (), keep(output)))
            stack.enter_context(context)
            return
        if _records_inputs(recorder):
            hook = module.register_forward_pre_hook(
                lambda module, args: recorder.forward_hook(module, keep(args), None), prepend=True
            )
        else:
            hook = module.register_forward_hook(
                lambda module, args, output: recorder.forward_hook(module, args, keep(output))
            )
        stack.callback(hook.remove)


def _is_module_recorder(recorder) -> bool:
    return hasattr(recorder, 'forward_hook')


def _is_parameter_recorder(recorder) -> bool:
    return any(cls.__name__ == 'ParameterRecorder' for cls in type(recorder).__mro__)


def _records_inputs(recorder) -> bool:
    return any(cls.__name__ == 'ModuleInputsRecorder' for cls in type(recorder).__mro__)


@contextmanager
def _inplace_switched_off_on(model: nn.Module, originals: list[tuple[str, Tensor, int]]) -> Iterator[None]:
    """Switches ``inplace`` off for good on every module that is about to write over one of ``originals``."""

    def switch_off(module: nn.Module, args: tuple) -> None:
        written = {tensor.untyped_storage().data_ptr() for tensor in tensors_in(args)}
        if any(tensor.untyped_storage().data_ptr() in written for _, tensor, _ in originals):
            module.inplace = False

    with ExitStack() as stack:
        for module in model.modules():
            if getattr(module, 'inplace', False) is True:
                stack.callback(module.register_forward_pre_hook(switch_off).remove)
        yield


def tensors_in(value) -> Iterator[Tensor]:
    """All tensors of a nest of lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def _mapped(function: Callable[[Tensor], Tensor], value):
    """A nest of lists, tuples and dicts with ``function`` of each tensor in its place."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        items = [_mapped(function, item) for item in value]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    if isinstance(value, dict):
        return type(value)((key, _mapped(function, item)) for key, item in value.items())
    return value


def _aliased(tensor: Tensor) -> Tensor:
    """The same values, as another node of the graph.

    With it the gradients of several losses on one tap are added up in the same order as where the tap is copied, in the
    first step of a run. Otherwise a resumed run would differ from the uninterrupted one in the last bit.
    """
    return tensor.view_as(tensor)


class Levels(list):
    """What was recorded of each level, in place of one record."""


def tap_of(
    recorder, record_idx: int = 0, data_idx: int | None = None, levels: str | Sequence[int] | None = None
) -> Tap:
    """How much of a module recorder's source has to run for :func:`read_record` with the same arguments."""
    if levels is None:
        return Tap(recorder.source, calls=record_idx + 1)
    calls = None if levels == 'all' else max(levels) + 1
    # with data_idx, the tuple of one call is the several outputs of one level
    return Tap(recorder.source, calls, one_sequence=data_idx is None)


def read_record(
    recorder,
    side: str,
    record_idx: int = 0,
    data_idx: int | None = None,
    levels: str | Sequence[int] | None = None,
) -> Any:
    """Reads a recorder.

    Args:
        recorder: mmrazor's recorder.
        side: ``'student'`` or ``'teacher'``, for messages.
        record_idx: Which call of the source is meant.
        data_idx: Which of the several outputs of a call is meant.
        levels: ``'all'`` or indices: read the levels instead of one call. They are the items of the tuple of a single
            call, or what several calls gave.

    Returns:
        The record, or :class:`Levels` of records.

    Raises:
        ValueError: There is no such record or level, or it is not clear what the levels are.
    """
    tap = f'tap {recorder.source!r} of the {side}'
    records = recorder.data_buffer
    if not records:
        raise ValueError(
            f'{tap} was not reached, nothing was recorded: its module is not called in training, or past its hooks '
            f'(head.forward(...) in place of head(...)), where a tap {recorder.source + ".forward"!r} records it'
        )
    if levels is None:
        if record_idx >= len(records):
            raise ValueError(f'{tap} has {len(records)} records, record_idx={record_idx} is asked for')
        return recorder.get_record_data(record_idx, data_idx)
    if data_idx is not None:
        records = [record[data_idx] for record in records]
    if len(records) == 1 and isinstance(records[0], (list, tuple)):
        records = records[0]
    elif any(isinstance(record, (list, tuple)) for record in records):
        raise ValueError(f'{tap} was called {len(records)} times with several outputs each; say which with data_idx')
    if levels == 'all':
        return Levels(records)
    if max(levels) >= len(records):
        raise ValueError(f'{tap} has the levels {list(range(len(records)))}, but {list(levels)} are asked for')
    return Levels(records[level] for level in levels)
