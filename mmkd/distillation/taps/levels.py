"""What is read of a recorder: one call, one item of it, or the levels that a loss goes through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from .recorder import Recorder
from .tap import Tap
from .tokens import tokens_to_map

__all__ = ['Levels', 'Reading', 'mapped', 'readings_of', 'tensors_in']


class Levels(list):
    """What was recorded of each level, in place of one record."""


@dataclass(frozen=True)
class Reading:
    """What is read of one recorder.

    Attributes:
        recorder: The recorder.
        side: ``'student'`` or ``'teacher'``.
        record_idx: Which call of the source is meant; None: the first, and nobody has said so.
        data_idx: Which of the several outputs of a call is meant.
        tokens: How tokens (N, L, C) are laid out as maps, see :func:`tokens_to_map`; None: not at all.
        levels: ``'all'`` or indices: read the levels instead of one call. They are the items of the tuple of a single
            call, or what several calls gave.
    """

    recorder: Recorder
    side: str
    record_idx: int | None = None
    data_idx: int | None = None
    levels: str | tuple[int, ...] | None = None
    tokens: str | Mapping | None = None

    @classmethod
    def from_config(cls, recorder: Recorder, side: str, record: Mapping) -> Reading:
        """Reads an entry of mmrazor's ``loss_forward_mappings``; other keys than those of a reading are ignored."""
        levels = record.get('levels')
        levels = levels if levels is None or isinstance(levels, str) else tuple(levels)
        return cls(recorder, side, record.get('record_idx'), record.get('data_idx'), levels, record.get('tokens'))

    @property
    def source(self) -> str:
        """What is recorded."""
        return self.recorder.source

    @property
    def tap(self) -> Tap:
        """How much of the source has to run for this."""
        if self.levels is None:
            return Tap(self.source, calls=(self.record_idx or 0) + 1)
        calls = None if self.levels == 'all' else max(self.levels) + 1
        # with data_idx, the tuple of one call is the several outputs of one level
        return Tap(self.source, calls, one_sequence=self.data_idx is None)

    @property
    def skips_calls(self) -> bool:
        """Whether the source was called more often than is read, without a word about which calls are meant."""
        return self.levels is None and self.record_idx is None and self.recorder.calls > 1

    def read(self) -> Any:
        """Returns the record, or :class:`Levels` of records, tokens laid out.

        Raises:
            ValueError: There is no such record or level, it is not clear what the levels are, or the tokens do not fit.
        """
        record = self._read()
        return record if self.tokens is None else mapped(partial(tokens_to_map, layout=self.tokens), record)

    def _read(self) -> Any:
        """Returns the record, or :class:`Levels` of records.

        Raises:
            ValueError: There is no such record or level, or it is not clear what the levels are.
        """
        tap = f'tap {self.source!r} of the {self.side}'
        records = self.recorder.records(self.tap)
        if not records:
            raise ValueError(
                f'{tap} was not reached, nothing was recorded: its module is not called in training, or past its hooks '
                f'(head.forward(...) in place of head(...)), where a tap {self.source + ".forward"!r} records it'
            )
        if self.levels is None:
            index = self.record_idx or 0
            if index >= len(records):
                raise ValueError(f'{tap} has {len(records)} records, record_idx={index} is asked for')
            return self._item(records[index], tap)
        if self.data_idx is not None:
            records = [self._item(record, tap) for record in records]
        if len(records) == 1 and isinstance(records[0], (list, tuple)):
            records = records[0]
        elif any(isinstance(record, (list, tuple)) for record in records):
            raise ValueError(
                f'{tap} was called {len(records)} times with several outputs each; say which with data_idx'
            )
        if self.levels == 'all':
            return Levels(records)
        if max(self.levels) >= len(records):
            raise ValueError(f'{tap} has the levels {list(range(len(records)))}, but {list(self.levels)} are asked for')
        return Levels(records[level] for level in self.levels)

    def _item(self, record: Any, tap: str) -> Any:
        if self.data_idx is None:
            return record
        if not isinstance(record, (list, tuple)):
            raise ValueError(f'{tap} gives a {type(record).__name__}, of which data_idx={self.data_idx} is asked for')
        if self.data_idx >= len(record):
            raise ValueError(f'{tap} has {len(record)} outputs, data_idx={self.data_idx} is asked for')
        return record[self.data_idx]


def readings_of(distiller: nn.Module) -> dict[str, dict[str, tuple[Reading, ...]]]:
    """All that the losses of a distiller read, by the loss and the argument of the loss.

    Args:
        distiller: mmrazor's ``ConfigurableDistiller``, or ours, in which a record may go on in ``more``.
    """

    def reading(record: Mapping, from_student: bool) -> Reading:
        side = 'student' if from_student else 'teacher'
        recorder = getattr(distiller, f'{side}_recorders').get_recorder(record['recorder'])
        return Reading.from_config(recorder, side, record)

    return {
        name: {
            argument: tuple(reading(part, record['from_student']) for part in (record, *record.get('more', ())))
            for argument, record in mapping.items()
        }
        for name, mapping in getattr(distiller, 'loss_forward_mappings', {}).items()
    }


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors of a nest of lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def mapped(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """A nest of lists, tuples and dicts with ``function`` of each tensor in its place."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        items = [mapped(function, item) for item in value]
        return type(value)(*items) if hasattr(value, '_fields') else type(value)(items)
    if isinstance(value, dict):
        return type(value)((key, mapped(function, item)) for key, item in value.items())
    return value
