"""One connector for each level of a feature pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from mmkd.registry import MODELS

from .conv import build_connector

__all__ = ['LevelConnectors']


@MODELS.register_module()
class LevelConnectors(BaseModule):
    """One connector for each level, with weights of its own.

    Args:
        connector: ``'conv1x1'``, or the config of a connector (see :func:`build_connector`); or a list with one for
            each level, None where it needs none.
        channels: Channels of the student's and of the teacher's feature, per level; None where the config has them.

    Raises:
        ValueError: There are more or fewer connectors than levels.

    Example:
        >>> import torch
        >>> connect = LevelConnectors('conv1x1', [(4, 8), (6, 8)])
        >>> [tuple(x.shape) for x in connect([torch.zeros(1, 4, 2, 2), torch.zeros(1, 6, 1, 1)])]
        [(1, 8, 2, 2), (1, 8, 1, 1)]
    """

    def __init__(self, connector: str | dict | Sequence, channels: Sequence[Sequence[int | None]]):
        super().__init__()
        if isinstance(connector, (str, Mapping)):
            connector = [connector] * len(channels)
        if len(connector) != len(channels):
            raise ValueError(f'connector: {len(connector)} were given, there are {len(channels)} levels')
        self.levels = ModuleList([build_connector(c, *pair) for c, pair in zip(connector, channels, strict=True)])

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Applies each connector to its level.

        Raises:
            ValueError: There are more or fewer levels than connectors.
        """
        if len(features) != len(self.levels):
            raise ValueError(f'{len(features)} levels were recorded, there are connectors for {len(self.levels)}')
        return [connector(feature) for connector, feature in zip(self.levels, features, strict=True)]
