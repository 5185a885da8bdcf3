"""One recorder: what one source gives while a network runs, in mmrazor's words and in those of the short form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

import torch
from torch import nn

from .tap import Tap, locate, on_call, on_return, watched

__all__ = ['Recorder']

OF_MODULES = ('ModuleOutputs', 'ModuleInputs')
OF_PYTHON = ('FunctionOutputs', 'FunctionInputs', 'MethodOutputs', 'MethodInputs')
CONTAINERS = (nn.ModuleList, nn.ModuleDict)
TYPES = (*OF_MODULES, *OF_PYTHON, 'Parameter')


class Recorder:
    """Keeps what one source gives while it is attached, call by call, until all that is read of it is there.

    Each tap ends for itself: what is recorded of it does not depend on what else runs on, or is read, after it.

    Args:
        type: ``'ModuleOutputs'`` or ``'ModuleInputs'`` of a module, or what a method of a module returned
            (see :func:`locate`); ``'FunctionOutputs'`` or ``'FunctionInputs'`` of a Python function;
            ``'MethodOutputs'`` or ``'MethodInputs'`` of a method of a class; or a ``'Parameter'``.
        source: Its name in the network; of functions and methods, their full Python name.
        key: The config key, for messages.

    Attributes:
        data_buffer: What was recorded, an item for each call.
        calls: How many calls there were, also after what is read of them was complete.
        taps: All that is read; empty: every call is.

    Raises:
        ValueError: ``type`` is none of these, or there is no such function.
    """

    def __init__(self, type: str, source: str, key: str = 'recorder'):
        kind = type.rpartition('.')[2]  # 'mmrazor.ModuleOutputs'
        if kind not in TYPES:
            raise ValueError(f'{key}.type: one of {", ".join(TYPES)} was expected, got {type!r}')
        self.kind = kind
        self.source = source
        self.key = key
        self.taps: tuple[Tap, ...] = ()
        self.clear()
        if kind in OF_PYTHON:
            self._python_source()

    @classmethod
    def from_config(cls, config: Mapping, key: str) -> Recorder:
        """Reads ``dict(type=..., source=...)``.

        Raises:
            ValueError: A key is missing or unknown; names it.
        """
        if not isinstance(config, Mapping) or set(config) - {'_scope_'} != {'type', 'source'}:
            raise ValueError(f'{key}: dict(type=..., source=...) was expected, got {config!r}')
        return cls(config['type'], config['source'], key)

    @property
    def of_module(self) -> bool:
        """Whether it records what a module is given or gives."""
        return self.kind in OF_MODULES

    @property
    def reads_network(self) -> bool:
        """Whether it records modules or parameters of the network, and no Python functions."""
        return self.kind not in OF_PYTHON

    def clear(self) -> None:
        """Lets go of what is recorded."""
        self.data_buffer: list[Any] = []
        self.calls = 0
        self._ends: dict[Tap, int] = {}

    def add_tap(self, tap: Tap) -> None:
        """Says that this is read."""
        self.taps = tuple(dict.fromkeys((*self.taps, tap)))

    def records(self, tap: Tap) -> list[Any]:
        """What was recorded until the tap was complete."""
        return self.data_buffer[: self._ends.get(tap)]

    def get_record_data(self, record_idx: int = 0, data_idx: int | None = None) -> Any:
        """What one call gave, or one item of it; mmrazor's distillers read a recorder so."""
        record = self.data_buffer[record_idx]
        return record if data_idx is None else record[data_idx]

    # ---- recording ---------------------------------------------------------------------------------------------------

    @contextmanager
    def attached(self, model: nn.Module, keep: Callable[[Any], Any] = lambda value: value) -> Iterator[None]:
        """Records what ``model`` does inside this context.

        Args:
            model: The network.
            keep: Gives what is kept of a value.
        """
        self.clear()
        with ExitStack() as stack:
            self._attach(model, torch.compiler.disable(lambda value: self._record(keep, value)), stack)
            for tap in self.taps if self.of_module else ():
                stack.enter_context(watched(model, tap, lambda tap=tap: self._end(tap)))
            yield

    def _attach(self, model: nn.Module, record: Callable[[Any], None], stack: ExitStack) -> None:
        if self.kind == 'Parameter':
            record(model.get_parameter(self.source))
            return
        if self.kind in OF_PYTHON:
            owner, name = self._python_source()
            stack.enter_context(on_call(owner, name, self._recording_call(getattr(owner, name), record)))
            return
        module, method = locate(model, self.source)
        if method is not None:
            stack.enter_context(on_return(module, method, record))
        elif self.kind == 'ModuleInputs':  # before the module, since it may write over them
            stack.callback(module.register_forward_pre_hook(lambda _, args: record(args), prepend=True).remove)
        else:
            stack.callback(module.register_forward_hook(lambda _, args, output: record(output)).remove)

    def _record(self, keep: Callable[[Any], Any], value: Any) -> None:
        self.calls += 1
        if not self.taps or len(self._ends) < len(self.taps):
            self.data_buffer.append(keep(value))

    def _end(self, tap: Tap) -> None:
        self._ends[tap] = len(self.data_buffer)

    def _recording_call(self, function: Callable, record: Callable[[Any], None]) -> Callable:
        if self.kind.endswith('Outputs'):
            return lambda args, kwargs, output: record(output)
        names = list(inspect.signature(function).parameters)
        first = 1 if self.kind == 'MethodInputs' else 0  # past self
        return lambda args, kwargs, output: record([*args[first:], *(kwargs[name] for name in names if name in kwargs)])

    # ---- where it is -------------------------------------------------------------------------------------------------

    def check(self, model: nn.Module, side: str) -> None:
        """Looks whether the source is there.

        Raises:
            ValueError: It is not, or it is a list of modules, which is never called.
        """
        if self.kind == 'Parameter' and self.source not in dict(model.named_parameters()):
            raise ValueError(f'{self.key}: the {side} has no parameter {self.source!r}')
        if not self.of_module:
            return
        module, method = locate(model, self.source)
        if method is not None and self.kind == 'ModuleInputs':
            raise LookupError(self.source)  # of a method, only what it returns is recorded
        if method is None and isinstance(module, CONTAINERS) and type(module).forward is nn.Module.forward:
            children = [f'{self.source}.{name}' for name, _ in module.named_children()]
            some = ', '.join(map(repr, children[:3])) + (' ...' if len(children) > 3 else '')
            raise ValueError(
                f'{self.key}: {self.source!r} of the {side} is a {type(module).__name__}, which is never called itself '
                f'and so records nothing; tap its items: {some}'
            )

    def _python_source(self) -> tuple[Any, str]:
        """The module that has the function, or the class that has the method; and its name there."""
        of_method = self.kind.startswith('Method')
        path, _, name = self.source.rpartition('.')
        try:
            if of_method:
                module, _, cls = path.rpartition('.')
                owner = getattr(import_module(module), cls)
            else:
                owner = import_module(path)
            found = inspect.isfunction(getattr(owner, name))
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f'{self.key}.source: {self.source!r} cannot be imported: {error}') from error
        if not found or (of_method and not inspect.isclass(owner)):
            kind = (
                'a method of a class, package.module.Class.method' if of_method else 'a function, package.module.name'
            )
            raise ValueError(f'{self.key}.source: {kind}, was expected, got {self.source!r}')
        return owner, name
