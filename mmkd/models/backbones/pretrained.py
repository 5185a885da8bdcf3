"""Initialising a backbone from a file, under mmkd's names or the original's, and refusing one that does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit
from torch import nn

from mmkd.utils.checkpoint import checkpoint_key, load_checkpoint_file
from mmkd.utils.errors import CheckpointNotFoundError
from mmkd.utils.state_dict import check_state_dict_fits, rename_by_rules, state_dict_of, strip_module, strip_prefix

from .original_names import BACKBONE_RULES

__all__ = ['load_pretrained_backbone', 'pretrained_last']


@contextmanager
def pretrained_last(module: BaseModule) -> Iterator[None]:
    """Takes the ``Pretrained`` entries out of ``module.init_cfg`` while the block runs, and then loads their files.

    Not again into a module that was initialised before, as mmengine initialises once.

    Raises:
        FileNotFoundError: The file of ``dict(type='Pretrained', checkpoint=...)`` does not exist.
        ValueError: It does not have all weights of this backbone.
    """
    init_cfg = module.init_cfg
    configs = init_cfg if isinstance(init_cfg, list) else [init_cfg] if init_cfg else []
    pretrained = [config for config in configs if config['type'] in ('Pretrained', PretrainedInit)]
    module.init_cfg = [config for config in configs if config not in pretrained]
    to_load = [] if module.is_init else pretrained
    try:
        yield
    finally:
        module.init_cfg = init_cfg
    for config in to_load:
        load_pretrained_backbone(module, **{key: value for key, value in config.items() if key != 'type'})


def load_pretrained_backbone(module: nn.Module, checkpoint: str, prefix: str | None = None, **kwargs) -> None:
    """Fills a backbone from a file; mmengine would do nothing but warn when no name of the file fits.

    Names are mmkd's, or those of centermask2 and maskrcnn-benchmark with whatever they put before a backbone. Offsets
    of deformable layers may be missing, since ImageNet training has none; they stay as they are.

    Args:
        module: The backbone.
        checkpoint: A file, or the address of one (``https://...``, ``open-mmlab://...``).
        prefix: Of all names only those that begin with it are looked at, without it: ``'backbone.'``.
        **kwargs: Other keys of mmengine's ``Pretrained``; unused.

    Raises:
        CheckpointError: The file cannot be read, or weights are missing, of another shape, or of layers that the
            backbone lacks; names them.
    """
    name = f'backbone.init_cfg.checkpoint {checkpoint}'
    try:
        with checkpoint_key('backbone.init_cfg.checkpoint'):
            content = load_checkpoint_file(checkpoint)
    except CheckpointNotFoundError as error:
        raise CheckpointNotFoundError(
            f'{error}. configs/centermask/README.md says where weights come from; backbone.init_cfg=None starts from '
            'random ones'
        ) from error
    state_dict = strip_module(state_dict_of(content, name))
    if prefix:
        state_dict = strip_prefix(state_dict, prefix)
    own = module.state_dict()
    for key in list(state_dict):
        renamed = (rename_by_rules(key, BACKBONE_RULES) or '').removeprefix('backbone.')
        if key not in own and renamed:
            state_dict[renamed] = state_dict.pop(key)
    offsets = [key for key in own if '.conv_offset.' in key]
    check_state_dict_fits(module, state_dict, name, optional=offsets, own_depth=1)
    module.load_state_dict(state_dict, strict=False)
    print_log(f'backbone weights from {checkpoint}', logger='current')
