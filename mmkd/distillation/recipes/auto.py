"""Recipes: from two networks to the losses between them, written out in the short form.

:data:`RULES` says what ``'auto'`` takes for which networks, :data:`RECIPES` what the others are; docs/distill.md shows
both as tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ..taps.outline import Level, Maps, Outline, outline
from ..taps.trial_sizes import TrialSizes
from ..teacher import FrozenTeacher

__all__ = ['RECIPES', 'RULES', 'Choice', 'choose', 'choose_losses', 'fill_taps']

Entry = dict[str, Any]


class NotComparable(Exception):
    """Why a term cannot be between two networks."""


@dataclass(frozen=True)
class Term:
    """One loss of a recipe.

    Attributes:
        name: In ``distill``.
        what: What is compared: ``'features'``, ``'logits'``, ``'before_logits'`` or ``'tokens'``.
        loss: Config of the loss.
        any_channels: Whether the loss compares maps of different numbers of channels.
        resizes: Whether it takes ``align``, for maps of different sizes.
        reduce: Over the levels.
    """

    name: str
    what: str
    loss: Mapping[str, Any]
    any_channels: bool = False
    resizes: bool = True
    reduce: str = 'mean'


PKD = Term('pkd', 'features', dict(type='mmkd.PKDLoss', loss_weight=6.0), reduce='sum')
CLASSES = Term('cls', 'logits', dict(type='mmkd.PixelWiseLoss', activation='auto', loss_weight=1.0))
CWD = Term('cwd', 'logits', dict(type='mmkd.ChannelWiseDivergence', temperature=4.0, loss_weight=3.0))
CWD_FEATURES = Term('cwd', 'features', dict(type='mmkd.ChannelWiseDivergence', loss_weight=10.0))
PAIRS = dict(type='mmkd.PairWiseLoss', pool='avg', nodes=16, loss_weight=10.0)
PAIR_WISE = Term('pair', 'before_logits', PAIRS, any_channels=True, resizes=False)
PAIR_WISE_FEATURES = Term('pair', 'features', PAIRS, any_channels=True, resizes=False)
ENCODER = Term('encoder', 'tokens', dict(type='mmkd.PKDLoss', loss_weight=6.0), resizes=False)
MSE = Term('mse', 'features', dict(type='mmkd.FeatureMSELoss', loss_weight=1.0))

# Recipe: alternatives, the first of which that can be is taken.
RECIPES: dict[str, tuple[tuple[Term, ...], ...]] = dict(
    pkd=((PKD,),),
    cwd=((CWD,), (CWD_FEATURES,)),
    logits=((CLASSES,),),
    pairwise=((PAIR_WISE,), (PAIR_WISE_FEATURES,)),
    mse=((MSE,),),
)

# Of 'auto', by what both networks are: the terms, of which those are taken that can be. Networks of two kinds, or with
# none of these terms, are taught by their features (PKD).
RULES: dict[str, tuple[Term, ...]] = {
    'detector': (PKD, CLASSES),
    'query detector': (PKD, ENCODER),
    'segmentor': (CWD, PAIR_WISE),
    'depth': (PAIR_WISE,),
}

# What each loss is usually computed of, where an entry has taps='auto'.
AT_HOME = dict(
    PixelWiseLoss='logits',
    DISTLoss='logits',
    KLDivergence='logits',
    PairWiseLoss='before_logits',
    ChannelWiseDivergence='logits',
)


@dataclass(frozen=True)
class Choice:
    """What was chosen: ``distill`` in the short form, and a line about each term, taken or not."""

    distill: dict[str, Entry]
    reasons: tuple[str, ...]


def choose(recipe: str, student: Outline, teacher: Outline, same_classes: bool | None = None) -> Choice:
    """The losses of a recipe between two networks.

    Args:
        recipe: ``'auto'`` or one of :data:`RECIPES`.
        student, teacher: What they have.
        same_classes: Whether their classes are the same; None: they are if they are as many.

    Raises:
        ValueError: There is no such recipe, or none of its terms can be; says why of each.
    """
    if same_classes is None:
        same_classes = student.num_classes == teacher.num_classes
    if recipe == 'auto':
        alternatives = ((*RULES.get(student.kind, ()),) if student.kind == teacher.kind else (), (PKD,))
        alternatives += ((PAIR_WISE_FEATURES,),)
    elif recipe in RECIPES:
        alternatives = RECIPES[recipe]
    else:
        raise ValueError(f'recipe: one of auto, {", ".join(RECIPES)} was expected, got {recipe!r}')
    reasons: list[str] = []
    for terms in alternatives:
        distill = {}
        for term in terms:
            try:
                distill[term.name], what = _entry(term, student, teacher, same_classes)
                reasons.append(f'distill.{term.name}: {what}')
            except NotComparable as error:
                line = f'no {term.name} ({_loss_name(term)} on {term.what}): {error}'
                if line not in reasons:
                    reasons.append(line)
        if distill:
            return Choice(distill, tuple(reasons))
    raise ValueError(
        f'recipe {recipe!r}: there is nothing to compare in a {student.kind} and a {teacher.kind}: '
        f'{"; ".join(reasons)}. '
        "Name taps yourself: distill=dict(name=dict(taps=..., loss=...)); 'mmkd taps CONFIG' lists them"
    )


def fill_taps(distill: Mapping[str, Any], student: Outline, teacher: Outline) -> dict[str, Any]:
    """The short form with ``taps='auto'`` of its entries written out.

    Of a loss on logits they are the class logits, of a pair-wise loss the map before them, of other losses the features
    at the strides that both networks have; the features also where there is nothing else. What an entry itself says of
    levels, connector and loss stays.

    Raises:
        ValueError: The networks have nothing for a loss.
    """
    filled = {}
    for name, entry in distill.items():
        if not isinstance(entry, Mapping) or entry.get('taps') != 'auto':
            filled[name] = entry
            continue
        loss = entry.get('loss') or {}
        kind = str(loss.get('type', '') if isinstance(loss, Mapping) else '').rpartition('.')[2]
        reasons = []
        for what in dict.fromkeys((AT_HOME.get(kind, 'features'), 'features')):
            term = Term(name, what, loss, any_channels=kind == 'PairWiseLoss', resizes=False)
            try:
                found, _ = _entry(term, student, teacher, student.num_classes == teacher.num_classes)
            except NotComparable as error:
                reasons.append(str(error))
                continue
            filled[name] = {**found, **{key: value for key, value in entry.items() if key != 'taps'}}
            break
        else:
            raise ValueError(f"distill.{name}.taps: 'auto' was given, and {'; '.join(reasons)}")
    return filled


def choose_losses(
    distill: str | Mapping[str, Any], student: nn.Module, teacher: FrozenTeacher, sizes: TrialSizes
) -> Mapping[str, Any]:
    """What a config says of ``distill``, with what it leaves open: the losses of a recipe, or ``taps='auto'``.

    Raises:
        Exception: Whatever a network raises that cannot run; ValueError where nothing of them can be compared.
    """
    entries = distill.values() if isinstance(distill, Mapping) else ()
    open_taps = any(isinstance(entry, Mapping) and entry.get('taps') == 'auto' for entry in entries)
    if not isinstance(distill, str) and not open_taps:
        return distill
    sides = sizes.first_that_works(
        lambda size: (outline(student, size, as_student=True), outline(teacher.skeleton(), size))
    )
    if open_taps:
        return fill_taps(distill, *sides)
    choice = choose(distill, *sides)
    print_log('\n'.join([f'Recipe {distill!r}:', *choice.reasons]), logger='current')
    return choice.distill


def _loss_name(term: Term) -> str:
    return str(term.loss.get('type')).rpartition('.')[2]


def _entry(term: Term, student: Outline, teacher: Outline, same_classes: bool) -> tuple[Entry, str]:
    """An entry of the short form, and what to say of it."""
    compared = COMPARED[term.what](student, teacher, same_classes)
    if term.loss.get('activation') == 'auto' and student.activation is None:
        raise NotComparable('what they go through, a softmax or a sigmoid, cannot be read from the head of the student')
    taps = [maps.tap for maps, _ in compared]
    entry: Entry = dict(taps=taps[0] if taps[0] == taps[1] else dict(student=taps[0], teacher=taps[1]))
    levels = [tuple(level.index for level in chosen) for _, chosen in compared]
    whole = all(maps.levels == tuple(chosen) and _numbered(chosen) for maps, chosen in compared)
    if not whole:
        entry['levels'] = levels[0] if levels[0] == levels[1] else dict(student=levels[0], teacher=levels[1])
    pairs = list(zip(*(chosen for _, chosen in compared), strict=True))
    if not term.any_channels and any(a.channels != b.channels for a, b in pairs):
        entry['connector'] = 'conv1x1'
    if term.reduce != 'mean' and len(pairs) > 1:
        entry['reduce'] = term.reduce
    entry['loss'] = dict(term.loss, align='student') if term.resizes else dict(term.loss)
    return entry, f'{_loss_name(term)} on {_described(term, compared)}'


def _numbered(levels: Sequence[Level]) -> bool:
    return [level.index for level in levels] == list(range(len(levels)))


def _described(term: Term, compared: Sequence[tuple[Maps, Sequence[Level]]]) -> str:
    names = [tap if isinstance(tap, str) else tap['source'] for tap in (maps.tap for maps, _ in compared)]
    where = repr(names[0]) if names[0] == names[1] else f'{names[0]!r} and {names[1]!r}'
    if term.what == 'tokens':
        return f'the tokens of {where}'
    strides = [', '.join(f'{level.stride:g}' for level in chosen) for _, chosen in compared]
    at = strides[0] if strides[0] == strides[1] else f'{strides[0]} against {strides[1]}'
    what = dict(features='features', logits='class logits', before_logits='the map before the logits')[term.what]
    return f'{what} of {where} at stride{"s" if len(compared[0][1]) > 1 else ""} {at}'


# ---- what is compared ------------------------------------------------------------------------------------------------

Compared = list[tuple[Maps, list[Level]]]


def _features(student: Outline, teacher: Outline, same_classes: bool) -> Compared:
    return _at_common_strides(_of_both('features', student, teacher))


def _logits(student: Outline, teacher: Outline, same_classes: bool) -> Compared:
    if student.kind != teacher.kind:
        raise NotComparable(f'the student is a {student.kind}, the teacher a {teacher.kind}')
    if not same_classes:
        numbers = f'{student.num_classes} and {teacher.num_classes}'
        same = student.num_classes == teacher.num_classes
        raise NotComparable('the classes differ' if same else f'the classes differ, {numbers} of them')
    both = _of_both('logits', student, teacher)
    if student.num_priors != teacher.num_priors:
        raise NotComparable(f'a place has {student.num_priors} anchors in one and {teacher.num_priors} in the other')
    if None not in (student.activation, teacher.activation) and student.activation != teacher.activation:
        raise NotComparable(f'they go through a {student.activation} in one and a {teacher.activation} in the other')
    compared = _at_common_strides(both)
    if any(a.channels != b.channels for a, b in zip(*(chosen for _, chosen in compared), strict=True)):
        raise NotComparable('they have different numbers of channels')
    return compared


def _before_logits(student: Outline, teacher: Outline, same_classes: bool) -> Compared:
    return [(maps, list(maps.levels)) for maps in _of_both('before_logits', student, teacher)]


def _tokens(student: Outline, teacher: Outline, same_classes: bool) -> Compared:
    both = _of_both('tokens', student, teacher)
    numbers = [maps.levels[0].size[0] for maps in both]
    if numbers[0] != numbers[1]:
        raise NotComparable(f'of the same image one has {numbers[0]} tokens and the other {numbers[1]}')
    return [(maps, list(maps.levels)) for maps in both]


COMPARED: dict[str, Callable[[Outline, Outline, bool], Compared]] = dict(
    features=_features, logits=_logits, before_logits=_before_logits, tokens=_tokens
)


def _of_both(what: str, student: Outline, teacher: Outline) -> tuple[Maps, Maps]:
    both = getattr(student, what), getattr(teacher, what)
    for side, maps in zip(('student', 'teacher'), both, strict=True):
        if maps is None:
            names = dict(
                features='map of the image before its heads', logits='class logits of places in the image',
                before_logits='map that its logits are computed from', tokens='encoder of tokens',
            )  # fmt: skip
            raise NotComparable(f'the {side} has no {names[what]}')
    return both


def _at_common_strides(both: tuple[Maps, Maps]) -> Compared:
    """The levels of the strides that both have, each once; where there are none, the two nearest."""
    by_stride = [{level.stride: level for level in maps.levels} for maps in both]  # of several the last
    common = [stride for stride in by_stride[0] if stride in by_stride[1]]
    if not common:
        common_pair = min(
            ((a, b) for a in both[0].levels for b in both[1].levels),
            key=lambda pair: abs(pair[0].stride / pair[1].stride - 1),
        )
        return [(maps, [level]) for maps, level in zip(both, common_pair, strict=True)]
    return [(maps, [levels[stride] for stride in common]) for maps, levels in zip(both, by_stride, strict=True)]
