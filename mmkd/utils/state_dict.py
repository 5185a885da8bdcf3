"""State dicts: taken out of checkpoints, renamed, and compared with the model that they are for."""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import nn

from .errors import CheckpointError

__all__ = [
    'Rules',
    'check_start_fits',
    'check_state_dict_fits',
    'missing_keys',
    'mis_shaped_keys',
    'rename_by_rules',
    'state_dict_of',
    'strip_module',
    'strip_prefix',
    'surplus_keys',
]

# Pairs of a regular expression and a template (``'layer\\1'``) or a function of the match.
Rules = Sequence[tuple[str, str | Callable[[re.Match], str | None]]]


def state_dict_of(checkpoint: Mapping[str, Any], name: str = 'checkpoint') -> dict:
    """Returns the parameters and buffers inside a checkpoint, by name.

    Args:
        checkpoint: ``{'state_dict': ...}`` (mmengine), ``{'model': ...}`` (detectron2, maskrcnn-benchmark) or the state
            dict itself.
        name: What to call it in the message.

    Raises:
        CheckpointError: None of these.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    if checkpoint and all(hasattr(value, 'shape') for value in checkpoint.values()):
        return checkpoint
    keys = ', '.join(repr(key) for key in list(checkpoint)[:5]) or 'nothing'
    raise CheckpointError(
        f"{name}: no parameters found: expected 'state_dict', 'model' or bare tensors, the checkpoint holds {keys}"
    )


def strip_prefix(state_dict: Mapping[str, Any], prefix: str) -> dict:
    """Returns what lies under ``prefix``, named without it; everything else is left out.

    ``strip_prefix(state_dict, 'architecture.')`` takes the student out of a distillation checkpoint. Only the start of
    a name is looked at: ``head.architecture.conv`` is not under ``architecture.``.
    """
    stripped = type(state_dict)()
    for key, value in state_dict.items():
        if key.startswith(prefix):
            stripped[key[len(prefix) :]] = value
    metadata = getattr(state_dict, '_metadata', None)
    if metadata is not None:  # the versions of the modules, by which old files are brought up to date on loading
        root = prefix.rstrip('.')
        stripped._metadata = type(metadata)(
            (key[len(prefix) :], value)
            for key, value in metadata.items()
            if key == root or key.startswith(f'{root}.') or not root
        )
    return stripped


def strip_module(state_dict: Mapping[str, Any]) -> dict:
    """The same without ``module.`` in front of names, which data-parallel wrappers leave there."""
    return {re.sub(r'^(module\.)+', '', key): value for key, value in state_dict.items()}


def rename_by_rules(name: str, rules: Rules) -> str | None:
    """The replacement of the first rule whose pattern matches the whole name, or None."""
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return replacement(match) if callable(replacement) else match.expand(replacement)
    return None


def check_state_dict_fits(
    model: nn.Module,
    state_dict: Mapping[str, Any],
    name: str = 'checkpoint',
    optional: Collection[str] = (),
    own_depth: int | None = None,
) -> None:
    """Raises unless ``state_dict`` has every parameter and buffer of ``model``, in its shape.

    mmengine loads with ``strict=False`` and only warns. For a teacher that would mean to learn from random weights.
    ``num_batches_tracked`` may be missing, since it does not take part in the forward, and so may what the modules
    themselves bring up to date when an older file is loaded.

    Args:
        model: The model to be loaded; it is not changed.
        state_dict: Names to tensors (or arrays).
        name: What to call the checkpoint in the message: the config key and the file.
        optional: Names that may be missing.
        own_depth: Which surplus is refused, see :func:`surplus_keys`; None for none: a teacher stored in a larger
            checkpoint is fine, whereas a V-39 backbone finds all that it needs in that of a V-99.

    Raises:
        CheckpointError: Something is missing, has another shape or has no place; says what, and how much of it.
    """
    wanted = [key for key in model.state_dict() if not _is_optional(key)]
    missing = [key for key in missing_keys(model, state_dict) if key not in optional]
    mis_shaped = mis_shaped_keys(model, state_dict)
    problems = []
    if missing:
        problems.append(f'{len(missing)} of {len(wanted)} keys are missing, first {missing[0]!r}')
    if mis_shaped:
        first, (found, expected) = next(iter(mis_shaped.items()))
        problems.append(
            f'{len(mis_shaped)} of {len(wanted)} keys have another shape, first {first!r}: {found}, expected {expected}'
        )
    surplus = surplus_keys(model, state_dict, 0 if problems or own_depth is None else own_depth)
    if surplus and (problems or own_depth is not None):
        problems.append(f'{len(surplus)} keys of the file are not in the model, first {surplus[0]!r}')
    if problems:
        raise CheckpointError(
            f'{name}: {"; ".join(problems)}. Is this a checkpoint of the model that the config describes, and not of '
            'another or larger variant?'
        )


def missing_keys(model: nn.Module, state_dict: Mapping[str, Any]) -> list[str]:
    """What :func:`check_state_dict_fits` would miss in ``state_dict``."""
    missing = [key for key in model.state_dict() if not _is_optional(key) and not hasattr(state_dict.get(key), 'shape')]
    still_missing = _after_upgrade(model, state_dict).missing_keys if missing else ()
    return [key for key in missing if key in still_missing]


def mis_shaped_keys(model: nn.Module, state_dict: Mapping[str, Any]) -> dict[str, tuple[tuple, tuple]]:
    """What has another shape in ``state_dict`` than in the model, by name: the shape there, and that expected.

    PyTorch takes the [1] of old files for the [] of a single number.
    """
    found = _shapes(state_dict)
    pairs = {key: (found[key], shape) for key, shape in _shapes(model.state_dict()).items() if key in found}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and pair != ((1,), ())}


def surplus_keys(model: nn.Module, state_dict: Mapping[str, Any], own_depth: int = 0) -> list[str]:
    """What of ``state_dict`` the model has no place for.

    Args:
        model: The model; it is not changed.
        state_dict: Names to tensors.
        own_depth: How much of a name says which part it is of. Only what is of a part that the model has counts: with
            1, ``fc.weight`` does not in a backbone without ``fc``, and ``stage4.9.weight`` does if it has a ``stage4``.
    """

    def part(key: str) -> str:
        return '.'.join(key.split('.')[:own_depth])

    own = model.state_dict()
    parts = {part(key) for key in own}

    def is_surplus(key: str) -> bool:
        return key not in own and not _is_optional(key) and part(key) in parts

    if not any(is_surplus(key) for key in state_dict):
        return []
    return [key for key in _after_upgrade(model, state_dict).unexpected_keys if is_surplus(key)]


def check_start_fits(model: nn.Module, state_dict: Mapping[str, Any], name: str) -> None:
    """Raises unless a training can start from ``state_dict``, of which mmengine would take what happens to fit.

    Parts may be missing and there may be others: one starts from a backbone, or from a detector with another head.
    What is there of a layer has to fit, but for layers whose number of outputs alone differs: those are the classes,
    which a new data set has its own number of.

    Args:
        model: The model; it is not changed.
        state_dict: Names to tensors, as they will be loaded.
        name: What to call the checkpoint in the message: the config key and the file.

    Raises:
        CheckpointError: Nothing fits, or a tensor has a shape that other classes do not explain.
    """
    wanted, found = _shapes(model.state_dict()), _shapes(state_dict)
    common = [key for key in wanted if key in found]
    if wanted and not common:
        raise CheckpointError(
            f'{name}: none of the {len(wanted)} parameters of the model is in the file, whose first is '
            f'{next(iter(state_dict), None)!r}, expected names like {next(iter(wanted), None)!r}'
        )
    mis_shaped = mis_shaped_keys(model, state_dict)
    misfits = [key for key, (there, here) in mis_shaped.items() if there[1:] != here[1:]]
    if misfits:
        first = misfits[0]
        raise CheckpointError(
            f'{name}: {len(mis_shaped)} of the {len(wanted)} tensors of the model have another shape in the file, '
            f'first {first!r}: {found[first]}, expected {wanted[first]}. Is it of another or larger variant than the '
            "config? A part of a file is loaded with init_cfg=dict(type='Pretrained', checkpoint=FILE, "
            "prefix='backbone.') in that part of the model"
        )
    if mis_shaped:
        print_log(
            f'{name}: {len(mis_shaped)} tensors are for another number of classes and stay as they are: '
            f'{", ".join(mis_shaped)}',
            logger='current',
            level=logging.WARNING,
        )


def _is_optional(key: str) -> bool:
    return key.endswith('num_batches_tracked')


def _shapes(state_dict: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in state_dict.items() if hasattr(v, 'shape') and not _is_optional(k)}


class _AfterUpgrade(NamedTuple):
    missing_keys: Collection[str]
    unexpected_keys: Collection[str]


def _after_upgrade(model: nn.Module, state_dict: Mapping[str, Any]) -> _AfterUpgrade:
    """What is missing and unexpected once the modules' own upgrades have renamed old keys (as mmcv's DCN layers do).

    Found by loading into a copy without storage, so the model stays as it is and no memory is used.
    """
    without_storage = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device='meta')
        if isinstance(tensor, nn.Parameter):
            empty = nn.Parameter(empty, requires_grad=tensor.requires_grad)
        without_storage[id(tensor)] = empty
    shadow = copy.deepcopy(model, without_storage)
    shapes = {key: value.shape for key, value in shadow.state_dict().items()}
    fitting = copy.copy(state_dict)
    for key, value in list(fitting.items()):
        if not hasattr(value, 'shape') or (key in shapes and value.shape != shapes[key]):
            del fitting[key]
        elif not isinstance(value, torch.Tensor):
            fitting[key] = torch.empty(value.shape, device='meta')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # one warning a key: copying into a tensor without storage does nothing
        try:
            return _AfterUpgrade(*shadow.load_state_dict(fitting, strict=False))
        except RuntimeError:  # an upgraded key has another shape: the plain comparison stands
            return _AfterUpgrade(list(shapes), list(state_dict))
