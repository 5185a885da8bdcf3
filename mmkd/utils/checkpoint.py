"""Reading checkpoint files safely; :mod:`mmkd.utils.state_dict` has what is done with what they hold."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from mmkd import compat

from .download import open_address
from .errors import CheckpointError, CheckpointNotFoundError
from .state_dict import state_dict_of, strip_prefix

__all__ = ['checkpoint_key', 'load_checkpoint_file']


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
