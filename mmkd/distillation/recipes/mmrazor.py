"""mmrazor's vocabulary of distillation, and where it differs from mmkd's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.registry import DefaultScope
from torch import nn

from mmkd.compat import import_mmrazor

from ..losses.context import asked_for
from ..taps.recorders import Recorders

import_mmrazor()
from mmrazor.registry import MODELS as MMRAZOR_MODELS  # noqa: E402

__all__ = ['build_distiller', 'check_mappings']

SIDES = ('student', 'teacher')


def build_distiller(distiller: nn.Module | Mapping) -> nn.Module:
    """The distiller of a config in mmrazor's vocabulary, with recorders of mmkd's.

    Args:
        distiller: The config, in which ``ConfigurableDistiller`` stands for :class:`DenseDistiller`; or a
            ``ConfigurableDistiller`` or one of a subclass, already built.

    Raises:
        ValueError: ``type`` is missing, or an option of the distiller is wrong.
    """
    if isinstance(distiller, Mapping):
        config = dict(distiller)
        if 'type' not in config:
            raise ValueError(f'distiller.type: missing, the keys given are {sorted(config)}')
        if config['type'] in ('ConfigurableDistiller', 'mmrazor.ConfigurableDistiller'):
            config['type'] = 'mmkd.DenseDistiller'
        # a name without scope means here what it means to mmrazor
        with DefaultScope.overwrite_default_scope('mmrazor'):
            distiller = MMRAZOR_MODELS.build(config)
    for side in SIDES:
        theirs = getattr(distiller, f'{side}_recorders')
        if not isinstance(theirs, Recorders):
            setattr(distiller, f'{side}_recorders', Recorders(_configs_of(theirs), side))
    return distiller


def _configs_of(manager: Any) -> dict[str, dict[str, str]]:
    """From mmrazor's ``RecorderManager`` to the configs that its recorders were built from."""
    return {
        name: dict(type=type(recorder).__name__.removesuffix('Recorder'), source=recorder.source)
        for name, recorder in manager.recorders.items()
    }


def check_mappings(mappings: Any, losses: nn.ModuleDict, recorders: Mapping[str, Recorders], connectors: Any) -> None:
    """Looks whether ``loss_forward_mappings`` names what there is.

    Args:
        mappings: For each loss by name, for each argument of it, the record that it is given.
        losses: The losses.
        recorders: Those of the student and the teacher.
        connectors: The connectors.

    Raises:
        ValueError: It does not; says where.
    """
    key = 'distiller.loss_forward_mappings'
    if not isinstance(mappings, Mapping):
        raise ValueError(f'{key}: a dict was expected, got {mappings!r}')
    for name, mapping in mappings.items():
        if name not in losses:
            raise ValueError(f'{key}: {name!r} is none of distill_losses, which are {list(losses)}')
        if not isinstance(mapping, Mapping):
            raise ValueError(f'{key}.{name}: a dict of the arguments of the loss was expected, got {mapping!r}')
        arguments = asked_for(losses[name])
        for argument, record in mapping.items():
            where = f'{key}.{name}.{argument}'
            if argument not in arguments:
                kind = type(losses[name]).__name__
                raise ValueError(f'{where}: the arguments of {kind} are {", ".join(arguments)}')
            _check_record(where, record, recorders, connectors)


def _check_record(key: str, record: Any, recorders: Mapping[str, Recorders], connectors: Any) -> None:
    if not isinstance(record, Mapping) or not isinstance(record.get('from_student'), bool) or 'recorder' not in record:
        raise ValueError(f'{key}: dict(recorder=..., from_student=True or False) was expected, got {record!r}')
    side = SIDES[not record['from_student']]
    for part in (record, *record.get('more', ())):
        if part['recorder'] not in recorders[side].recorders:
            known = ', '.join(recorders[side].recorders)
            raise ValueError(f'{key}.recorder: {part["recorder"]!r} is none of {side}_recorders: {known}')
    if record.get('connector') and record['connector'] not in connectors:
        raise ValueError(f'{key}.connector: {record["connector"]!r} is none of connectors: {", ".join(connectors)}')
