"""The short form of a distillation config, ``distill=dict(...)``, and what it stands for in mmrazor's vocabulary."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmkd.registry import MODELS

from ..losses.context import FIELDS, asked_for
from ..taps.tokens import check_layout_of_tokens

__all__ = ['Entry', 'compile_short_form', 'parse_short_form']

KEYS = ('taps', 'levels', 'inputs', 'connector', 'loss', 'reduce', 'start_iter', 'end_iter')
TAP_KEYS = ('type', 'source', 'data_idx', 'record_idx', 'tokens')
SIDES = ('student', 'teacher')
# how a connector's config may name its two numbers of channels: mmkd's way, mmrazor's ways
CHANNEL_KEYS = (('in_channels', 'in_channel', 'student_channels'), ('out_channels', 'out_channel', 'teacher_channels'))


@dataclass(frozen=True)
class Entry:
    """One loss of the short form, with everything written out.

    Attributes:
        name: Its name in the config.
        taps: For ``'student'`` and ``'teacher'``: ``source``, and optionally the recorder's ``type``, ``data_idx``,
            ``record_idx``.
        levels: For both: ``'all'``, a tuple of indices, or None where ``record_idx`` picks one record.
        loss: Config of the loss.
        connector: Config of the connectors on the student's features, a list of them, or None.
        reduce: ``'mean'`` or ``'sum'`` over the levels.
        inputs: Further arguments of the loss: for each its ``side`` and its tap.
        more: For both, the further taps of a list.
        start_iter: The iteration from which on the loss counts.
        end_iter: The iteration from which on it does not any more; None: it counts to the end.
    """

    name: str
    taps: dict[str, dict[str, Any]]
    levels: dict[str, Any]
    loss: dict[str, Any]
    connector: str | dict[str, Any] | Sequence | None = None
    reduce: str = 'mean'
    inputs: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    more: dict[str, tuple[dict[str, Any], ...]] = field(default_factory=lambda: dict.fromkeys(SIDES, ()))
    start_iter: int = 0
    end_iter: int | None = None

    @property
    def loss_name(self) -> str:
        """The name in the log, where it must contain 'loss' to be added to what is minimised."""
        return self.name if 'loss' in self.name else f'loss_{self.name}'

    @property
    def needs_channels(self) -> bool:
        """Whether the connectors cannot be built from the config alone."""
        if self.connector is None:
            return False
        connectors = self.connector if _is_list(self.connector) else [self.connector]
        known = all(
            connector is None
            or isinstance(connector, Mapping)
            and all(any(key in connector for key in keys) for keys in CHANNEL_KEYS)
            for connector in connectors
        )
        return not known or self.levels['student'] == 'all'

    @property
    def num_levels(self) -> int:
        """How many levels the student has, where they are not all that there are."""
        return len(self.levels['student']) if self.levels['student'] else 1 + len(self.more['student'])

    def recorders(self, side: str) -> dict[str, dict[str, Any]]:
        """The configs of the recorders of one side, the first under the name of the entry."""
        further = {self._name_of(i): _recorder(tap) for i, tap in enumerate(self.more[side], 1)}
        return {self.name: _recorder(self.taps[side]), **further}

    def record(self, side: str) -> dict[str, Any]:
        """What is read of the first recorder, and of which others (``more``)."""
        record = _record(self.taps[side], self.levels[side])
        if self.more[side]:
            record['more'] = [
                dict(recorder=self._name_of(i), **_record(tap, None)) for i, tap in enumerate(self.more[side], 1)
            ]
        return record

    def _name_of(self, i: int) -> str:
        return f'{self.name}/{i}'


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _recorder(tap: Mapping) -> dict[str, Any]:
    return dict(type=tap.get('type', 'ModuleOutputs'), source=tap['source'])


def _record(tap: Mapping, levels: Any) -> dict[str, Any]:
    record = {key: tap[key] for key in ('data_idx', 'record_idx', 'tokens') if key in tap}
    return record if levels is None or 'record_idx' in tap else dict(record, levels=levels)


def parse_short_form(distill: Mapping[str, Mapping]) -> list[Entry]:
    """Reads the short form.

    Each entry has a name of one's choice (None in its place takes away what a base config has under that name) and
    these keys:

    * ``taps``: the module whose output is compared, ``'neck'``, or ``dict(student=..., teacher=...)`` where the names
      differ. In place of a name, a dict with ``source`` and mmrazor's ``type`` (of the recorder, ``'ModuleOutputs'``),
      ``data_idx`` (which item of an output of several), ``record_idx`` (which call alone), ``tokens`` (how tokens
      (N, L, C) are laid out as a map, see :func:`~mmkd.distillation.taps.tokens.tokens_to_map`). Or a list of these,
      each of which is one level: ``['backbone.stage2', 'backbone.stage3']``. A source may be a method of a module, too:
      ``'roi_head.mask_loss'``; what it returns is recorded.
    * ``levels``: which levels, as indices of the items of a tuple (the output of a neck) or of the calls of a module
      (a head that all levels share); default all. ``dict(student=..., teacher=...)`` where they are numbered apart.
    * ``inputs``: what else the loss looks at, by the name of its argument: a tap with the side it is on, as in
      ``scores_T=dict(side='teacher', source=...)``. Its levels are those of that side.
    * ``connector``: what the student's features go through, one for each level: ``'conv1x1'``, or the config of a
      connector, in which the numbers of channels may be left out. Or a list of one for each level, None where nothing
      is needed.
    * ``loss``: the config of the loss; ``weight`` may stand for ``loss_weight``.
    * ``reduce``: ``'mean'`` (default) or ``'sum'`` over the levels.
    * ``start_iter``, ``end_iter``: the iteration of the run from which on the loss counts, default 0, and from which on
      it does not any more, default never.

    Raises:
        ValueError: A key is unknown or missing, or its value is of a wrong kind; names the key.
    """
    if not isinstance(distill, Mapping):
        raise ValueError(f'distill: a dict of named losses was expected, got {distill!r}')
    entries = [_parse_entry(name, entry) for name, entry in distill.items() if name != '_scope_' and entry is not None]
    if not entries:
        raise ValueError('distill: at least one loss was expected, got none')
    return entries


def _parse_entry(name: str, entry: Mapping) -> Entry:
    key = f'distill.{name}'
    if not isinstance(entry, Mapping):
        raise ValueError(f'{key}: a dict with taps and loss was expected, got {entry!r}')
    unknown = [k for k in entry if k not in (*KEYS, '_scope_')]
    if unknown:
        raise ValueError(f'{key}: the keys are {", ".join(KEYS)}, got {unknown[0]!r}')
    for required in ('taps', 'loss'):
        if entry.get(required) is None:
            raise ValueError(f'{key}.{required}: missing')
    if '.' in name:
        raise ValueError(f'{key}: a name without a dot was expected')

    lists = {side: _parse_taps(taps, f'{key}.taps') for side, taps in _per_side(entry['taps']).items()}
    taps, more = ({side: part(found) for side, found in lists.items()} for part in (lambda x: x[0], lambda x: x[1:]))
    if any(more.values()):
        if len({len(found) for found in more.values()}) > 1:
            raise ValueError(f'{key}.taps: as many of the teacher as of the student were expected, got {lists}')
        if entry.get('levels') is not None:
            raise ValueError(f'{key}: levels and a list of taps were both given, each of which is one level')
    levels = {side: _parse_levels(value, f'{key}.levels') for side, value in _per_side(entry.get('levels')).items()}
    if any('record_idx' in tap for tap in taps.values()):
        if entry.get('levels') is not None:
            raise ValueError(f'{key}: levels and record_idx were both given')
        levels = dict.fromkeys(SIDES)
    elif any(more.values()):
        levels = dict.fromkeys(SIDES)
    reduce = entry.get('reduce', 'mean')
    if reduce not in ('mean', 'sum'):
        raise ValueError(f"{key}.reduce: 'mean' or 'sum' was expected, got {reduce!r}")
    connector = entry.get('connector')
    for one in connector if _is_list(connector) else [connector]:
        if one is not None and not isinstance(one, (str, Mapping)):
            raise ValueError(f'{key}.connector: a name or a config was expected, got {one!r}')
    start_iter = entry.get('start_iter', 0)
    if isinstance(start_iter, bool) or not isinstance(start_iter, int) or start_iter < 0:
        raise ValueError(f'{key}.start_iter: a number of iterations was expected, got {start_iter!r}')
    end_iter = entry.get('end_iter')
    if end_iter is not None and (isinstance(end_iter, bool) or not isinstance(end_iter, int) or end_iter <= start_iter):
        raise ValueError(
            f'{key}.end_iter: a number of iterations above start_iter, {start_iter}, was expected, got {end_iter!r}'
        )
    loss = _parse_loss(entry['loss'], f'{key}.loss')
    inputs = _parse_inputs(entry.get('inputs'), loss, key)
    return Entry(name, taps, levels, loss, connector, reduce, inputs, more, start_iter, end_iter)


def _parse_inputs(inputs: Any, loss: Mapping, key: str) -> dict[str, tuple[str, dict[str, Any]]]:
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping):
        raise ValueError(f'{key}.inputs: a dict of taps by argument of the loss was expected, got {inputs!r}')
    known = _further_arguments(_loss_class(loss['type'], f'{key}.loss'))
    parsed = {}
    for argument, tap in inputs.items():
        if argument == '_scope_':
            continue
        if known is not None and argument not in known:
            names = ', '.join(known) or 'none'
            raise ValueError(f'{key}.inputs: the further arguments of {loss["type"]} are: {names}; got {argument!r}')
        if not isinstance(tap, Mapping) or tap.get('side') not in SIDES:
            raise ValueError(
                f"{key}.inputs.{argument}: dict(side='student' or 'teacher', source=...) was expected, got {tap!r}"
            )
        rest = {k: v for k, v in tap.items() if k != 'side'}
        parsed[argument] = (tap['side'], _parse_tap(rest, f'{key}.inputs.{argument}'))
    return parsed


def _per_side(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and set(value) - {'_scope_'} == set(SIDES):
        return {side: value[side] for side in SIDES}
    return dict.fromkeys(SIDES, value)


def _parse_taps(taps: Any, key: str) -> tuple[dict[str, Any], ...]:
    if _is_list(taps) and not taps:
        raise ValueError(f'{key}: at least one was expected, got none')
    return tuple(_parse_tap(tap, key) for tap in (taps if _is_list(taps) else [taps]))


def _parse_tap(tap: Any, key: str) -> dict[str, Any]:
    if isinstance(tap, str):
        return dict(source=tap)
    if not isinstance(tap, Mapping) or 'source' not in tap:
        raise ValueError(
            f'{key}: the name of a module, dict(source=...) or dict(student=..., teacher=...) was expected, got {tap!r}'
        )
    unknown = [k for k in tap if k not in (*TAP_KEYS, '_scope_')]
    if unknown:
        raise ValueError(f'{key}: the keys of a tap are {", ".join(TAP_KEYS)}, got {unknown[0]!r}')
    for index in ('data_idx', 'record_idx'):
        if index in tap and not _is_index(tap[index]):
            raise ValueError(f'{key}.{index}: an index, from 0, was expected, got {tap[index]!r}')
    if 'tokens' in tap:
        check_layout_of_tokens(tap['tokens'], f'{key}.tokens')
    return {k: tap[k] for k in TAP_KEYS if k in tap}


def _parse_levels(levels: Any, key: str) -> str | tuple[int, ...]:
    if levels is None:
        return 'all'
    if isinstance(levels, int):
        levels = (levels,)
    if not isinstance(levels, Sequence) or not levels or not all(_is_index(i) for i in levels):
        raise ValueError(f'{key}: indices of levels, from 0, were expected, got {levels!r}')
    return tuple(levels)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_loss(loss: Any, key: str) -> dict[str, Any]:
    if not isinstance(loss, Mapping) or 'type' not in loss:
        raise ValueError(f'{key}: a dict with type was expected, got {loss!r}')
    loss = dict(loss)
    if 'weight' in loss and 'weight' not in inspect.signature(_loss_class(loss['type'], key)).parameters:
        if 'loss_weight' in loss:
            raise ValueError(f'{key}: weight and loss_weight were both given')
        loss['loss_weight'] = loss.pop('weight')
    return loss


def _loss_class(kind: str | type, key: str) -> type:
    loss = MODELS.get(_scoped(kind)) if isinstance(kind, str) else kind
    if loss is None:
        raise ValueError(f'{key}.type: {kind!r} is not registered')
    return loss


def _further_arguments(loss: type) -> list[str] | None:
    """What ``inputs`` may name; None for a loss around another, whose arguments are those of that one."""
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(loss.forward).parameters.values()):
        return None
    return [name for name in list(asked_for(loss))[2:] if name not in FIELDS]


def _scoped(kind: str | type) -> str | type:
    """In the short form a plain name is mmkd's, if mmkd has it: its ChannelWiseDivergence is not mmrazor's."""
    if isinstance(kind, str) and '.' not in kind:
        MODELS.import_from_location()
        if kind in MODELS.module_dict:
            return f'mmkd.{kind}'
    return kind


def compile_short_form(
    entries: Sequence[Entry], channels: Mapping[str, Sequence[tuple[int | None, int | None]]]
) -> dict[str, Any]:
    """Writes the short form out as the config of a ``DenseDistiller``.

    Args:
        entries: The losses.
        channels: For each entry with a connector, the numbers of channels of the student and the teacher, per level.
            An entry that is missing here gets no connector.

    Returns:
        The config: recorders, losses, connectors, and the mappings between them.
    """
    config = dict(
        type='mmkd.DenseDistiller',
        student_recorders={},
        teacher_recorders={},
        distill_losses={},
        connectors={},
        loss_forward_mappings={},
        level_reduction={},
        names={},
    )
    for entry in entries:
        loss = dict(entry.loss, type=_scoped(entry.loss['type']))
        arguments = list(asked_for(_loss_class(entry.loss['type'], f'distill.{entry.name}.loss')))[:2]
        mapping = {}
        for side, argument in zip(SIDES, arguments, strict=True):
            config[f'{side}_recorders'].update(entry.recorders(side))
            mapping[argument] = dict(recorder=entry.name, from_student=side == 'student', **entry.record(side))
        for argument, (side, tap) in entry.inputs.items():
            recorder = f'{entry.name}/{argument}'
            config[f'{side}_recorders'][recorder] = _recorder(tap)
            read = _record(tap, entry.levels[side])
            mapping[argument] = dict(recorder=recorder, from_student=side == 'student', **read)
        if entry.connector is not None and entry.name in channels:
            config['connectors'][entry.name] = dict(
                type='mmkd.LevelConnectors', connector=entry.connector, channels=[*channels[entry.name]]
            )
            mapping[arguments[0]]['connector'] = entry.name
        config['distill_losses'][entry.loss_name] = loss
        config['loss_forward_mappings'][entry.loss_name] = mapping
        config['level_reduction'][entry.loss_name] = entry.reduce
        config['names'][entry.loss_name] = f'distill.{entry.name}'
        if entry.start_iter:
            config.setdefault('start_iter', {})[entry.loss_name] = entry.start_iter
        if entry.end_iter is not None:
            config.setdefault('end_iter', {})[entry.loss_name] = entry.end_iter
    return config
