"""What the converters share: renaming tensors, checking that they fill a model exactly, writing the result.

A converter is a :class:`Family`: how names change, and what has to be done to values. Everything that can be checked
is checked against the model that the config describes, before anything is written.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.apis.preflight.datasets import datasets_of
from mmkd.registry import MODELS
from mmkd.utils.checkpoint import load_checkpoint_file, state_dict_of
from mmkd.utils.student import student_config
from mmkd.version import __version__

__all__ = ['Conversion', 'Family', 'build_on_meta', 'convert_file', 'convert_state_dict', 'rename_by_rules']

BACKBONE = 'backbone.'
COUNTER = 'num_batches_tracked'
SHOWN = 12  # names listed before 'and n more'

Rules = Sequence[tuple[str, Any]]


@dataclass
class Conversion:
    """Tensors under their new names, with what was noticed on the way."""

    tensors: dict[str, Tensor]
    sources: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backbone_only: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint.

    Args:
        name: How it is called in messages.
        rename: ``rename(name, names)`` gives the name in mmkd's detector, or None for what has no place there;
            ``names`` are all names of the file, since some layers are told apart by their neighbours only.
        adapt: ``adapt(conversion, model)`` changes values and adds notes; the model has shapes but no storage.
    """

    name: str
    rename: Callable[[str, Mapping[str, Tensor]], str | None]
    adapt: Callable[[Conversion, nn.Module], None] | None = None


def rename_by_rules(name: str, rules: Rules) -> str | None:
    """The replacement of the first rule whose pattern matches the whole name, or None.

    Args:
        name: The name.
        rules: Pairs of a regular expression and a template (``'layer\\1'``) or a function of the match.
    """
    for pattern, replacement in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return replacement(match) if callable(replacement) else match.expand(replacement)
    return None


def build_on_meta(cfg: Config) -> nn.Module:
    """The model of a config (the student, in a distillation config), without storage for its tensors."""
    scope = cfg.get('default_scope') or 'mmdet'
    with DefaultScope.overwrite_default_scope(scope), torch.device('meta'):
        return MODELS.build(student_config(cfg.model))


def convert_state_dict(source: Mapping[str, Any], model: nn.Module, family: Family) -> Conversion:
    """Renames and adapts tensors, and checks that they are all that the model needs, in its shapes.

    Args:
        source: Names to tensors or numpy arrays; anything else counts as not used.
        model: The detector. If all that is recognised belongs to its backbone, only the backbone is filled, and
            names are those within it.
        family: What kind of names these are.

    Returns:
        The conversion, whose ``tensors`` load strictly.

    Raises:
        ValueError: Something is missing or mis-shaped, two tensors claim one place, or a part of the model has no
            place for some of the tensors that the file has for it (it is of a larger model).
    """
    names = {re.sub(r'^(module\.)+', '', key): value for key, value in source.items()}
    conversion = Conversion({})
    for name, value in names.items():
        target = family.rename(name, names) if isinstance(value, (Tensor, np.ndarray)) else None
        if target is None:
            conversion.unused.append(name)
        elif target in conversion.sources:
            raise ValueError(f'{name} and {conversion.sources[target]} would both become {target}')
        else:
            conversion.tensors[target] = torch.as_tensor(value)
            conversion.sources[target] = name
    if not conversion.tensors:
        raise ValueError(f'none of its {len(names)} names is one of {family.name}, first {next(iter(names), None)!r}')
    if family.adapt is not None:
        family.adapt(conversion, model)
    wanted = {key: value for key, value in model.state_dict().items() if not key.endswith(COUNTER)}
    if all(key.startswith(BACKBONE) for key in conversion.tensors):
        conversion.backbone_only = True
        wanted = {key: value for key, value in wanted.items() if key.startswith(BACKBONE)}
    _remove_surplus(conversion, wanted)
    _check_complete(conversion, wanted)
    _arrange(conversion, model)
    return conversion


def _remove_surplus(conversion: Conversion, wanted: Mapping[str, Tensor]) -> None:
    """Sets aside what belongs to parts that the model does not have; refuses what its parts have no place for."""
    parts = {_part(key) for key in wanted}
    counted = {key.rpartition('.')[0] for key in wanted}
    misfits = []
    for target in list(conversion.tensors):
        if target in wanted or (target.endswith(COUNTER) and target.rpartition('.')[0] in counted):
            continue
        source = conversion.sources[target]
        if _part(target) in parts:
            misfits.append(source)
        del conversion.tensors[target]
        conversion.unused.append(source)
    if misfits:
        raise ValueError(
            f'{len(misfits)} of its tensors have no place in the model: {_listed(misfits)}. The file is of another or '
            'larger variant than the config'
        )


def _part(key: str) -> str:
    """``backbone.stage4`` of ``backbone.stage4.OSA4_1...``: what is there in full or not at all."""
    return '.'.join(key.split('.')[:2])


def _check_complete(conversion: Conversion, wanted: Mapping[str, Tensor]) -> None:
    missing = [key for key in wanted if key not in conversion.tensors]
    mis_shaped = []
    for key, expected in wanted.items():
        value = conversion.tensors.get(key)
        if value is None:
            continue
        if expected.shape == () and value.shape == (1,):  # a learnable factor: [1] in the originals, [] in mmcv
            conversion.tensors[key] = value.reshape(())
        elif value.shape != expected.shape:
            found = f'{conversion.sources.get(key, key)} is {list(value.shape)}, expected {list(expected.shape)}'
            mis_shaped.append(found)
    problems = []
    if missing:
        problems.append(f'{len(missing)} of the {len(wanted)} tensors that the model needs are missing: ')
        problems[-1] += _listed(missing)
    if mis_shaped:
        problems.append(f'{len(mis_shaped)} have another shape: {_listed(mis_shaped)}')
    if problems and conversion.unused:
        problems.append(f'not used: {_listed(conversion.unused)}')
    if problems:
        raise ValueError('; '.join(problems))


def _arrange(conversion: Conversion, model: nn.Module) -> None:
    """Brings tensors into the model's order and type, and adds counters of batch norms that the file lacks."""
    arranged = {}
    for key, expected in model.state_dict().items():
        if key in conversion.tensors:
            value = conversion.tensors[key].to(expected.dtype).contiguous()
        elif key.endswith(COUNTER) and (key.startswith(BACKBONE) or not conversion.backbone_only):
            value = torch.zeros(expected.shape, dtype=expected.dtype)
        else:
            continue
        arranged[key.removeprefix(BACKBONE) if conversion.backbone_only else key] = value
    conversion.tensors = arranged


def convert_file(
    src: str | Path,
    out: str | Path,
    config: str | Path,
    family: Family,
    transform: Callable[[Conversion, Config], None] | None = None,
) -> list[str]:
    """Converts a checkpoint file for the model of a config; writes nothing unless all of it fits.

    Args:
        src: The file: PyTorch, with the tensors under ``model`` or ``state_dict`` or bare, or ``.safetensors``.
        out: Where to write ``{'state_dict', 'meta'}``. It appears only when it is complete.
        config: The config file.
        family: What kind of file it is.
        transform: A further change of the result, with the config at hand.

    Returns:
        Lines that say what was done.

    Raises:
        FileNotFoundError, ValueError: The file is not there or does not fit; see :func:`convert_state_dict`.
    """
    source = state_dict_of(load_checkpoint_file(src), str(src))
    cfg = Config.fromfile(config)
    model = build_on_meta(cfg)
    try:
        conversion = convert_state_dict(source, model, family)
        if transform is not None:
            transform(conversion, cfg)
    except ValueError as error:
        raise ValueError(f'{src} does not fit the model of {config}: {error}. Nothing was written') from error
    meta = dict(converted_from=family.name, source=Path(src).name, config=Path(config).name, mmkd_version=__version__)
    if not conversion.backbone_only:  # what was trained on ImageNet has not these classes
        meta.update(_dataset_meta(cfg))
    _save(dict(state_dict=conversion.tensors, meta=meta), Path(out))
    return [*_report(conversion, len(source)), f'written to {out}']


def _dataset_meta(cfg: Config) -> dict[str, dict]:
    """Classes and palette under the key that mmdet and mmseg read, which would else name the classes after COCO's."""
    for loader in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        for dataset in datasets_of(cfg, loader):
            if dataset.names:
                known = {**getattr(dataset.kind, 'METAINFO', {}), **(dataset.cfg.get('metainfo') or {})}
                palette = dict(palette=known['palette']) if known.get('palette') else {}
                return dict(dataset_meta=dict(classes=tuple(dataset.names), **palette))
    return {}


def _save(checkpoint: dict, out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f'.{out.name}.', delete=False) as file:
        temporary = Path(file.name)
    try:
        torch.save(checkpoint, temporary)
        # A temporary file is private; a checkpoint gets the rights that any new file would.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


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


def _listed(items: Sequence[str]) -> str:
    more = f' and {len(items) - SHOWN} more' if len(items) > SHOWN else ''
    return ', '.join(items[:SHOWN]) + more
