"""Reading checkpoints: safely, whatever they are wrapped in, and with an error when they do not fit."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from mmkd import compat

__all__ = ['check_state_dict_fits', 'load_checkpoint_file', 'state_dict_of', 'strip_prefix']


def load_checkpoint_file(path: str | Path, map_location: str | torch.device = 'cpu') -> dict:
    """Loads a checkpoint file without running any code that it may contain.

    Beside tensors and plain containers, what a training run of mmengine saves is accepted: its log buffers, numpy
    numbers and arrays, config dicts.

    Args:
        path: The file, as saved by ``torch.save``.
        map_location: Where the tensors go.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, is no checkpoint, or holds objects that are not allowed. Names the file.
    """
    path = Path(path)
    if not path.is_file():
        what = 'is a folder, not a checkpoint file' if path.is_dir() else 'does not exist'
        raise FileNotFoundError(f'checkpoint {path} {what}')
    try:
        with compat.safe_globals():
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except UnpicklingError as error:
        refused = [line.strip() for line in str(error).splitlines() if 'unsupported global' in line.lower()]
        if refused:
            raise ValueError(
                f'checkpoint {path} holds objects other than tensors, numbers and texts, which could run code when '
                f'loaded: {refused[0]}. If you trust the file, load it yourself with '
                "torch.load(..., weights_only=False) and save its ['state_dict'] alone."
            ) from error
        raise ValueError(f'checkpoint {path} cannot be read as a PyTorch file: {error}') from error
    except (RuntimeError, EOFError, ValueError, KeyError, AssertionError) as error:
        raise ValueError(f'checkpoint {path} is damaged or is no PyTorch file: {error}') from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f'checkpoint {path} holds a {type(checkpoint).__name__}, a dict was expected')
    return checkpoint


def state_dict_of(checkpoint: Mapping[str, Any]) -> dict:
    """Returns the parameters and buffers inside a checkpoint, by name.

    Args:
        checkpoint: ``{'state_dict': ...}`` (mmengine), ``{'model': ...}`` (detectron2, maskrcnn-benchmark) or the state
            dict itself.

    Raises:
        ValueError: None of these.
    """
    for key in ('state_dict', 'model'):
        if isinstance(checkpoint.get(key), Mapping):
            return checkpoint[key]
    if checkpoint and all(hasattr(value, 'shape') for value in checkpoint.values()):
        return checkpoint
    keys = ', '.join(repr(key) for key in list(checkpoint)[:5]) or 'nothing'
    raise ValueError(
        f"no parameters found: expected 'state_dict', 'model' or bare tensors, the checkpoint holds {keys}"
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


def check_state_dict_fits(model: nn.Module, state_dict: Mapping[str, Any], name: str = 'checkpoint') -> None:
    """Raises unless ``state_dict`` has every parameter and buffer of ``model``, in its shape.

    mmengine loads with ``strict=False`` and only warns. For a teacher that would mean to learn from random weights.
    ``num_batches_tracked`` may be missing, since it does not take part in the forward, and so may what the modules
    themselves bring up to date when an older file is loaded. Surplus keys are no error: a teacher stored in a larger
    checkpoint is fine.

    Args:
        model: The model to be loaded; it is not changed.
        state_dict: Names to tensors (or arrays).
        name: What to call the checkpoint in the message: the config key and the file.

    Raises:
        ValueError: Something is missing or has another shape; says what, and how much of it.
    """
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items() if not _is_optional(k)}
    found = {k: tuple(v.shape) for k, v in state_dict.items() if hasattr(v, 'shape')}
    missing = [key for key in wanted if key not in found]
    if missing:
        still_missing = _missing_after_upgrade(model, state_dict)
        missing = [key for key in missing if key in still_missing]
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
    raise ValueError(f'{name}: {"; ".join(problems)}. Is this a checkpoint of the model that the config describes?')


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
