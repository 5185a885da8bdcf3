"""Reading checkpoints: safely, whatever they are wrapped in, and with an error when they do not fit."""

from __future__ import annotations

import copy
import io
import logging
import math
import warnings
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.logging import print_log
from torch import nn

from mmkd import compat

from .download import open_address
from .errors import UserError

__all__ = [
    'CheckpointError',
    'CheckpointNotFoundError',
    'check_start_fits',
    'check_state_dict_fits',
    'checkpoint_key',
    'load_checkpoint_file',
    'missing_keys',
    'state_dict_of',
    'strip_prefix',
]


class CheckpointError(UserError, ValueError):
    """A checkpoint that cannot be used: one line for the user, wherever in a run it comes up."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """A checkpoint that is not there."""


@contextmanager
def checkpoint_key(key: str) -> Iterator[None]:
    """Puts the config key of a checkpoint, if it is known, in front of a :class:`CheckpointError`."""
    try:
        yield
    except CheckpointError as error:
        if not key:
            raise
        raise type(error)(f'{key}: {error}') from error


def load_checkpoint_file(path: str | Path, map_location: str | torch.device | None = 'cpu') -> dict:
    """Loads a checkpoint without running any code that it may contain. Every checkpoint is loaded here.

    Beside tensors and plain containers, what a training run of mmengine saves is accepted: its log buffers, numpy
    numbers and arrays, config dicts. The file is compared with the checksums in it, which PyTorch does not do, and
    weights that are not numbers are refused.

    Args:
        path: A file as saved by ``torch.save``, or ``.safetensors``; or the address of one, see :func:`open_address`.
        map_location: Where the tensors go.

    Raises:
        CheckpointNotFoundError: There is no such file.
        CheckpointError: It cannot be fetched, is damaged, is no checkpoint, or holds objects that are not allowed or
            weights that are not finite. Names the file.
    """
    address = str(path)
    if not address:
        raise CheckpointError(
            "a checkpoint was expected, got '', an empty name; is it set from an environment variable that is empty?"
        )
    try:
        source = open_address(address)
        checkpoint = _read(source, address, 'cpu' if map_location is None else map_location)
    except CheckpointError as error:
        raise type(error)(f'checkpoint {error}') from error.__cause__
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f'checkpoint {error}') from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f'checkpoint {error}') from error
    if address.startswith('mmcls://'):  # of a classifier, what is before its head
        checkpoint = dict(state_dict=strip_prefix(state_dict_of(checkpoint), 'backbone.'))
    _check_numbers(checkpoint, address)
    return checkpoint


def _read(source: Path | io.BytesIO, address: str, map_location: str | torch.device) -> Mapping[str, Any]:
    if isinstance(source, Path) and '://' in address and not address.startswith('file:'):
        address = f'{address} (kept in {source}; remove it to download again)'
    if _suffix(source, address) == '.safetensors':
        return _read_safetensors(source, address)
    _check_archive(source, address)
    try:
        with compat.safe_globals():
            checkpoint = torch.load(source, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        refused = [line.strip() for line in str(error).splitlines() if 'unsupported global' in line.lower()]
        if refused:
            raise CheckpointError(
                f'{address} holds objects other than tensors, numbers and texts, which could run code when '
                f'loaded: {refused[0]}. If you trust the file, load it yourself with '
                "torch.load(..., weights_only=False) and save its ['state_dict'] alone."
            ) from error
        raise CheckpointError(f'{address} cannot be read as a PyTorch file: {_first_line(error)}') from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AssertionError) as error:
        raise CheckpointError(f'{address} is damaged or is no PyTorch file: {_first_line(error)}') from error
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(f'{address} holds a {type(checkpoint).__name__}, a dict was expected')
    return checkpoint


def _suffix(source: Path | io.BytesIO, address: str) -> str:
    return source.suffix if isinstance(source, Path) else Path(address.partition('#')[0]).suffix


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _read_safetensors(source: Path | io.BytesIO, address: str) -> Mapping[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load, load_file
    except ImportError as error:
        raise CheckpointError(f'{address}: to read it, pip install safetensors') from error
    try:
        return load_file(source) if isinstance(source, Path) else load(source.getvalue())
    except SafetensorError as error:
        raise CheckpointError(f'{address} is damaged or is no safetensors file: {error}') from error


def _check_archive(source: Path | io.BytesIO, address: str) -> None:
    """Says what is wrong with a file that PyTorch would call corrupt, or would take although a bit of it is flipped."""
    with open(source, 'rb') if isinstance(source, Path) else io.BytesIO(source.getvalue()) as file:
        head = file.read(64)
        if not head:
            raise CheckpointError(f'{address} is empty, it has 0 bytes')
        if head.startswith(b'PK'):
            try:
                with zipfile.ZipFile(file) as archive:
                    broken = archive.testzip()
            except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
                raise CheckpointError(f'{address} is damaged or cut off: {error}; fetch or copy it again') from error
            if broken:
                raise CheckpointError(
                    f'{address} is damaged: {broken!r} in it does not match its checksum; fetch or copy it again'
                )
        elif not head.startswith(b'\x80'):  # neither an archive nor, as before PyTorch 1.6, a bare pickle
            raise CheckpointError(f'{address} is no PyTorch file, it begins with {head[:32]!r}')


def _check_numbers(checkpoint: Mapping[str, Any], address: str) -> None:
    """Refuses weights with NaN or infinity; minus infinity is what masks of attention are made of."""
    try:
        tensors = {k: v for k, v in state_dict_of(checkpoint).items() if isinstance(v, torch.Tensor)}
    except CheckpointError:
        return  # for those who look for weights in it to say
    broken = [k for k, v in tensors.items() if v.is_floating_point() and v.element_size() > 1 and _has_no_number(v)]
    if broken:
        raise CheckpointError(
            f'checkpoint {address} is of no use: {len(broken)} of its {len(tensors)} tensors hold NaN or infinity, '
            f'first {broken[0]!r}. The training that it comes from has diverged'
        )


def _has_no_number(tensor: torch.Tensor) -> bool:
    return not bool((tensor < math.inf).all())


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


def check_state_dict_fits(
    model: nn.Module, state_dict: Mapping[str, Any], name: str = 'checkpoint', optional: Collection[str] = ()
) -> None:
    """Raises unless ``state_dict`` has every parameter and buffer of ``model``, in its shape.

    mmengine loads with ``strict=False`` and only warns. For a teacher that would mean to learn from random weights.
    ``num_batches_tracked`` may be missing, since it does not take part in the forward, and so may what the modules
    themselves bring up to date when an older file is loaded. Surplus keys are no error: a teacher stored in a larger
    checkpoint is fine.

    Args:
        model: The model to be loaded; it is not changed.
        state_dict: Names to tensors (or arrays).
        name: What to call the checkpoint in the message: the config key and the file.
        optional: Names that may be missing.

    Raises:
        CheckpointError: Something is missing or has another shape; says what, and how much of it.
    """
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items() if not _is_optional(k)}
    found = {k: tuple(v.shape) for k, v in state_dict.items() if hasattr(v, 'shape')}
    missing = [key for key in missing_keys(model, state_dict) if key not in optional]
    mis_shaped = [key for key in wanted if key in found and found[key] != wanted[key]]
    if not missing and not mis_shaped:
        return

    problems = []
    if missing:
        problems.append(f'{len(missing)} of {len(wanted)} keys are missing, first {missing[0]!r}')
    if mis_shaped:
        first = mis_shaped[0]
        problems.append(
            f'{len(mis_shaped)} of {len(wanted)} keys have another shape, '
            f'first {first!r}: {found[first]}, expected {wanted[first]}'
        )
    surplus = [key for key in found if key not in wanted and not _is_optional(key)]
    if surplus:
        problems.append(f'{len(surplus)} keys of the file are not in the model, first {surplus[0]!r}')
    raise CheckpointError(
        f'{name}: {"; ".join(problems)}. Is this a checkpoint of the model that the config describes?'
    )


def missing_keys(model: nn.Module, state_dict: Mapping[str, Any]) -> list[str]:
    """What :func:`check_state_dict_fits` would miss in ``state_dict``."""
    missing = [key for key in model.state_dict() if not _is_optional(key) and not hasattr(state_dict.get(key), 'shape')]
    still_missing = _missing_after_upgrade(model, state_dict) if missing else ()
    return [key for key in missing if key in still_missing]


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
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items() if not _is_optional(key)}
    found = {key: tuple(value.shape) for key, value in state_dict.items() if hasattr(value, 'shape')}
    common = [key for key in wanted if key in found]
    if wanted and not common:
        raise CheckpointError(
            f'{name}: none of the {len(wanted)} parameters of the model is in the file, whose first is '
            f'{next(iter(state_dict), None)!r}, expected names like {next(iter(wanted), None)!r}'
        )
    # PyTorch takes the [1] of old files for the [] of a single number.
    mis_shaped = [key for key in common if found[key] != wanted[key] and (found[key], wanted[key]) != ((1,), ())]
    misfits = [key for key in mis_shaped if found[key][1:] != wanted[key][1:]]
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


def _missing_after_upgrade(model: nn.Module, state_dict: Mapping[str, Any]) -> set[str]:
    """The missing keys once the modules' own version upgrades have renamed old ones (as mmcv's DCN layers do).

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
    for key in list(fitting):
        if not isinstance(fitting[key], torch.Tensor) or (key in shapes and fitting[key].shape != shapes[key]):
            del fitting[key]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # one warning a key: copying into a tensor without storage does nothing
        try:
            return set(shadow.load_state_dict(fitting, strict=False).missing_keys)
        except RuntimeError:  # an upgraded key has another shape: the plain comparison stands
            return set(shapes)
