"""Converting a checkpoint of another code base into one for the model of a config."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.converters import COUNTER, FORMATS, Conversion, Format, convert_state_dict
from mmkd.registry import MODELS
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.errors import UserError
from mmkd.utils.files import written_whole
from mmkd.utils.state_dict import state_dict_of
from mmkd.utils.student import student_config
from mmkd.version import __version__

from .preflight.datasets import datasets_of

__all__ = ['build_format', 'build_on_meta', 'convert_file']


def build_format(name: str, **options) -> Format:
    """The format of a name, with its options.

    Raises:
        UserError: There is no such format, or it has no such option.
    """
    formats = FORMATS.module_dict
    if name not in formats:
        raise UserError(f'--from: {name!r} is no format that is known; expected one of {", ".join(sorted(formats))}')
    known = [key for key in inspect.signature(formats[name]).parameters if key not in ('args', 'kwargs')]
    for key in options:
        if key not in known:
            has = ', '.join(_flag(key) for key in known) or 'none'
            raise UserError(f'{_flag(key)}: --from {name} has no such option; those that it has: {has}')
    return formats[name](**options)


def _flag(key: str) -> str:
    return f'--{key.replace("_", "-")}'


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config (the student, in a distillation config), without storage for its tensors."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmdet'):
        try:
            with torch.device('meta'):
                return MODELS.build(student_config(cfg.model))
        except RuntimeError:  # it reads values of tensors while it is built, such as rates of stochastic depth
            return MODELS.build(student_config(cfg.model)).to('meta')


def convert_file(src: str | Path, out: str | Path, cfg: Config, kind: Format) -> list[str]:
    """Converts a checkpoint file for the model of a config; writes nothing unless all of it fits.

    Args:
        src: The file: PyTorch, with the tensors under ``model`` or ``state_dict`` or bare, or ``.safetensors``.
        out: Where to write ``{'state_dict', 'meta'}``. It appears only when it is complete.
        cfg: The config.
        kind: What kind of file it is.

    Returns:
        Lines that say what was done.

    Raises:
        FileNotFoundError, ValueError: The file is not there or does not fit; see :func:`convert_state_dict`.
    """
    source = state_dict_of(load_checkpoint_file(src), str(src))
    model = build_on_meta(cfg)
    try:
        conversion = convert_state_dict(source, model, kind)
        kind.adapt_to_images(conversion, cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {})
    except ValueError as error:
        raise ValueError(f'{src} does not fit the model of {cfg.filename}: {error}. Nothing was written') from error
    meta = dict(
        converted_from=kind.title, source=Path(src).name, config=Path(cfg.filename).name, mmkd_version=__version__
    )
    if not conversion.backbone_only:  # what was trained on ImageNet has not these classes
        meta.update(dataset_meta(cfg))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as part:
        torch.save(dict(state_dict=conversion.tensors, meta=meta), part)
    return [*_report(conversion, len(source)), f'written to {out}']


def dataset_meta(cfg: Config) -> dict[str, dict[str, Any]]:
    """Classes and palette under the key that mmdet and mmseg read, which would else name the classes after COCO's."""
    for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        for dataset in datasets_of(cfg, loader):
            if dataset.names:
                known = {**getattr(dataset.kind, 'METAINFO', {}), **(dataset.cfg.get('metainfo') or {})}
                palette = dict(palette=known['palette']) if known.get('palette') else {}
                return dict(dataset_meta=dict(classes=tuple(dataset.names), **palette))
    return {}


def _report(conversion: Conversion, total: int) -> list[str]:
    used = total - len(conversion.unused)
    counters = sum(key.endswith(COUNTER) for key in conversion.tensors)
    numbers = sum(value.numel() for key, value in conversion.tensors.items() if not key.endswith(COUNTER))
    what = 'the backbone' if conversion.backbone_only else 'the model'
    lines = [
        f'used {used} of {total} tensors; they fill {what}: {len(conversion.tensors) - counters} tensors, '
        f'{numbers / 1e6:.2f} M numbers',
        f'not used: {", ".join(conversion.unused) or "none"}',
    ]
    if conversion.backbone_only:
        lines.append("backbone only: load it with backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=...))")
    return lines + conversion.notes
