"""What takes the place of mmengine's own loading; :func:`mmkd.compat.load_checkpoints_safely` puts it there."""

from __future__ import annotations

import torch
from mmengine.model import PretrainedInit
from torch import nn

from .checkpoint import checkpoint_key, load_checkpoint_file
from .state_dict import check_start_fits, strip_module, strip_prefix

__all__ = ['CheckedPretrainedInit', 'load_from_mmkd', 'name_checkpoints']

_keys: dict[str, str] = {}


def name_checkpoints(keys: dict[str, str]) -> None:
    """Says under which config keys the addresses of checkpoints stand, for messages."""
    _keys.update(keys)


def load_from_mmkd(filename: str, map_location: str | torch.device | None = None) -> dict:
    """A loader of mmengine, which logs what comes after ``load_from_`` as the name of its backend.

    Raises:
        CheckpointError: See :func:`load_checkpoint_file`.
    """
    with checkpoint_key(_keys.get(filename, '')):
        return load_checkpoint_file(filename, map_location)


class CheckedPretrainedInit(PretrainedInit):
    """mmengine's ``Pretrained``, which only warns where nothing fits and leaves what does not fit at random.

    Raises:
        CheckpointError: See :func:`check_start_fits`.
    """

    def __call__(self, module: nn.Module) -> None:
        checkpoint = load_from_mmkd(self.checkpoint, self.map_location)
        state_dict = checkpoint.get('state_dict', checkpoint)  # as mmengine finds it
        if self.prefix is None:
            state_dict = strip_module(state_dict)
        else:
            state_dict = strip_prefix(state_dict, f'{self.prefix.rstrip(".")}.')
        key = _keys.get(self.checkpoint, 'init_cfg.checkpoint')
        check_start_fits(module, state_dict, f'{key}: {self.checkpoint}')
        super().__call__(module)
