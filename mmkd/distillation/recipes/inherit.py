"""Inheriting: parts of the student that are built as the teacher's begin with its weights."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import print_log
from torch import nn

__all__ = ['inherit_weights', 'parse_inherit']


def parse_inherit(inherit: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Names of the student's modules, with those of the teacher's modules whose weights they get.

    Args:
        inherit: ``'neck'``, ``['neck', 'bbox_head']``, or ``dict(neck='neck')`` where the names differ.

    Raises:
        ValueError: It is none of these.
    """
    if inherit is None:
        return {}
    if isinstance(inherit, str):
        inherit = [inherit]
    if isinstance(inherit, Mapping):
        pairs = {student: teacher for student, teacher in inherit.items() if student != '_scope_'}
    elif isinstance(inherit, Sequence):
        pairs = {name: name for name in inherit}
    else:
        pairs = {None: None}
    if not all(isinstance(name, str) and name for pair in pairs.items() for name in pair):
        raise ValueError(
            "inherit: names of modules, 'neck' or ['neck', 'bbox_head'], or a dict from the student's to the teacher's "
            f'were expected, got {inherit!r}'
        )
    return pairs


def inherit_weights(student: nn.Module, teacher: nn.Module, pairs: Mapping[str, str]) -> None:
    """Copies the parameters and buffers of the teacher's modules into the student's.

    All or nothing: every key of one must be in the other, with its shape, before the first is copied.

    Args:
        student: The student.
        teacher: The teacher, with its weights.
        pairs: Names of the student's modules, with those of the teacher's.

    Raises:
        ValueError: There is no such module, or the two do not match; the first key that does not is named.
    """
    targets = []
    for name, source in pairs.items():
        own = _module(student, name, 'student', name).state_dict(keep_vars=True)
        given = _module(teacher, source, 'teacher', name).state_dict(keep_vars=True)
        _check_match(own, given, name, source)
        targets += [(own[key], given[key]) for key in own]
    with torch.no_grad():
        for target, value in targets:
            if isinstance(target, torch.Tensor):
                target.copy_(value)
    if pairs:
        print_log(f"The student begins with the teacher's weights in {', '.join(pairs)}.", logger='current')


def _module(model: nn.Module, name: str, side: str, key: str) -> nn.Module:
    names = dict(model.named_modules())
    if name in names:
        return names[name]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or [child for child, _ in model.named_children()]
    raise ValueError(f'inherit.{key}: the {side} has no module {name!r}; did you mean {" or ".join(map(repr, near))}?')


def _check_match(own: Mapping, given: Mapping, name: str, source: str) -> None:
    here, there = f"the student's {name!r}", f"the teacher's {source!r}"
    for key in [*own, *given]:
        if key not in given:
            raise ValueError(f'inherit.{name}: {here} has {key!r}, {there} has not')
        if key not in own:
            raise ValueError(f'inherit.{name}: {there} has {key!r}, {here} has not')
        shapes = [tuple(getattr(side[key], 'shape', ())) for side in (own, given)]
        if shapes[0] != shapes[1]:
            raise ValueError(f'inherit.{name}: {key!r} is {shapes[0]} in {here} and {shapes[1]} in {there}')
