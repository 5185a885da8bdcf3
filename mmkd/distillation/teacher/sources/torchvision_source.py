"""Networks of torchvision: the maps of some of their layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


class Layers(nn.Module):
    """The outputs of some layers, in their order."""

    def __init__(self, network: nn.Module, layers: Sequence[str]):
        super().__init__()
        from torchvision.models.feature_extraction import create_feature_extractor

        self.network = create_feature_extractor(network, list(layers))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(images).values())


def build(name: str, layers: Sequence[str] = ('layer1', 'layer2', 'layer3', 'layer4'), **kwargs: Any) -> nn.Module:
    """The network with random weights.

    Args:
        name: torchvision's, ``'resnet50'``.
        layers: Its layers whose outputs are the maps; the default are a ResNet's stages.
        **kwargs: Of the network.

    Raises:
        ValueError: torchvision has no such network, or the network no such layer.
    """
    from torchvision.models import get_model

    return Layers(get_model(name, weights=None, **kwargs), layers)


def load_weights(network: Layers, ckpt: str) -> None:
    """Loads torchvision's own file; what comes after the last layer is not needed.

    Raises:
        CheckpointError: It cannot be read or does not fit.
    """
    from ..weights import load_teacher_weights

    wanted = set(network.network.state_dict())
    load_teacher_weights(network.network, ckpt, keep=lambda name: name in wanted)
