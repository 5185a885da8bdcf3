"""What the formats share: renaming tensors, and checking that they fill a model exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from mmengine.registry import Registry
from torch import Tensor, nn

from mmkd.utils.state_dict import Rules, mis_shaped_keys, missing_keys, rename_by_rules, strip_module, surplus_keys

__all__ = ['BACKBONE', 'COUNTER', 'FORMATS', 'Conversion', 'Format', 'convert_state_dict']

FORMATS = Registry('checkpoint format', scope='mmkd')

BACKBONE = 'backbone.'
COUNTER = 'num_batches_tracked'
SHOWN = 12  # names listed before 'and n more'


@dataclass
class Conversion:
    """Tensors under their new names, with what was noticed on the way."""

    tensors: dict[str, Tensor]
    sources: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backbone_only: bool = False


class Format:
    """A kind of checkpoint: how names change, and what has to be done to values.

    A subclass is registered in :data:`FORMATS` under the name that ``mmkd convert --from`` takes; its arguments are
    options of that command.

    Attributes:
        title: How it is called in messages, and in the file that is written.
        rules: How names change, see :func:`mmkd.utils.state_dict.rename_by_rules`.
    """

    title = ''
    rules: Rules = ()

    def rename(self, name: str, names: Mapping[str, Tensor]) -> str | None:
        """The name in mmkd's detector or segmentor, or None for what has no place there.

        Args:
            name: The name in the file.
            names: All tensors of the file, since some layers are told apart by their neighbours only.
        """
        return rename_by_rules(name, self.rules)

    def rename_all(self, names: Mapping[str, Tensor], model: nn.Module) -> dict[str, str | None]:
        """As :meth:`rename`, for all names, where the names depend on the model as well."""
        return {name: self.rename(name, names) for name in names}

    def adapt(self, conversion: Conversion, model: nn.Module) -> None:
        """Changes values and adds notes, before it is checked that all fits; the model has shapes but no storage."""

    def adapt_to_images(self, conversion: Conversion, preprocessor: Mapping[str, Any]) -> None:
        """Changes values and adds notes, when all fits, for images as the ``data_preprocessor`` hands them out."""


def convert_state_dict(source: Mapping[str, Any], model: nn.Module, kind: Format) -> Conversion:
    """Renames and adapts tensors, and checks that they are all that the model needs, in its shapes.

    Args:
        source: Names to tensors or numpy arrays; anything else counts as not used.
        model: The detector or segmentor. If all that is recognised belongs to its backbone, only the backbone is
            filled, and names are those within it.
        kind: What kind of names these are.

    Returns:
        The conversion, whose ``tensors`` load strictly.

    Raises:
        ValueError: Something is missing or mis-shaped, two tensors claim one place, or a part of the model has no
            place for some of the tensors that the file has for it (it is of a larger model).
    """
    conversion = _renamed(strip_module(source), model, kind)
    kind.adapt(conversion, model)
    if all(key.startswith(BACKBONE) for key in conversion.tensors):
        conversion.backbone_only = True
        conversion.tensors = {key.removeprefix(BACKBONE): value for key, value in conversion.tensors.items()}
        conversion.sources = {key.removeprefix(BACKBONE): name for key, name in conversion.sources.items()}
        model = model.backbone
    _remove_surplus(conversion, model)
    _check_complete(conversion, model)
    _arrange(conversion, model)
    return conversion


def _renamed(names: Mapping[str, Any], model: nn.Module, kind: Format) -> Conversion:
    conversion = Conversion({})
    targets = kind.rename_all(names, model)
    for name, value in names.items():
        target = targets[name] if isinstance(value, (Tensor, np.ndarray)) else None
        if target is None:
            conversion.unused.append(name)
        elif target in conversion.sources:
            raise ValueError(f'{name} and {conversion.sources[target]} would both become {target}')
        else:
            conversion.tensors[target] = torch.as_tensor(value)
            conversion.sources[target] = name
    if not conversion.tensors:
        raise ValueError(f'none of its {len(names)} names is one of {kind.title}, first {next(iter(names), None)!r}')
    return conversion


def _remove_surplus(conversion: Conversion, model: nn.Module) -> None:
    """Sets aside what belongs to parts that the model does not have; refuses what its parts have no place for."""
    own_depth = 1 if conversion.backbone_only else 2  # stage4, backbone.stage4: there in full or not at all
    misfits = [conversion.sources[key] for key in surplus_keys(model, conversion.tensors, own_depth)]
    if misfits:
        raise ValueError(
            f'{len(misfits)} of its tensors have no place in the model: {_listed(misfits)}. The file is of another or '
            'larger variant than the config'
        )
    own = model.state_dict()
    for key in [key for key in conversion.tensors if key not in own]:
        del conversion.tensors[key]
        conversion.unused.append(conversion.sources[key])


def _check_complete(conversion: Conversion, model: nn.Module) -> None:
    problems = []
    wanted = [key for key in model.state_dict() if not key.endswith(COUNTER)]
    if missing := missing_keys(model, conversion.tensors):
        problems.append(f'{len(missing)} of the {len(wanted)} tensors that the model needs are missing: ')
        problems[-1] += _listed(missing)
    if mis_shaped := mis_shaped_keys(model, conversion.tensors):
        listed = [
            f'{conversion.sources.get(key, key)} is {list(found)}, expected {list(expected)}'
            for key, (found, expected) in mis_shaped.items()
        ]
        problems.append(f'{len(mis_shaped)} have another shape: {_listed(listed)}')
    if problems and conversion.unused:
        problems.append(f'not used: {_listed(conversion.unused)}')
    if problems:
        raise ValueError('; '.join(problems))


def _arrange(conversion: Conversion, model: nn.Module) -> None:
    """Brings tensors into the model's order and type, and adds counters of batch norms that the file lacks."""
    arranged = {}
    for key, expected in model.state_dict().items():
        if key in conversion.tensors:
            # a learnable factor: [1] in the originals, [] in mmcv
            arranged[key] = conversion.tensors[key].to(expected.dtype).reshape(expected.shape).contiguous()
        elif key.endswith(COUNTER):
            arranged[key] = torch.zeros(expected.shape, dtype=expected.dtype)
    conversion.tensors = arranged


def _listed(items: Sequence[str]) -> str:
    more = f' and {len(items) - SHOWN} more' if len(items) > SHOWN else ''
    return ', '.join(items[:SHOWN]) + more
