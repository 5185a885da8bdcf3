"""Networks with random weights, for trials: initialised as they would be for training, without pretrained parts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mmengine.config import ConfigDict

__all__ = ['without_pretrained']


def without_pretrained(model: Mapping) -> ConfigDict:
    """A model config in which nothing names pretrained weights, so that ``init_weights`` reads no file."""
    return _without(copy.deepcopy(ConfigDict(model)))


def _without(node: Any) -> Any:
    if isinstance(node, list | tuple):
        return type(node)(_without(item) for item in node)
    if not isinstance(node, dict):
        return node
    for key, value in list(node.items()):
        of_file = isinstance(value, Mapping) and 'checkpoint' in value
        if key == 'init_cfg' and of_file or key == 'pretrained' and isinstance(value, str):
            node[key] = None
        else:
            node[key] = _without(value)
    return node
