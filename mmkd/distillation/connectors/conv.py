"""Connectors: what brings a student's feature to the teacher's number of channels. Trained, then thrown away."""

from __future__ import annotations

import inspect

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..losses.functional import check_map

SHORT_FORMS = {'conv1x1': 1, 'conv3x3': 3}
# how a connector may call its two sizes: mmkd's way, mmrazor's ways
CHANNEL_NAMES = (('in_channels', 'in_channel', 'student_channels'), ('out_channels', 'out_channel', 'teacher_channels'))


@MODELS.register_module()
class ConvConnector(BaseModule):
    """One convolution that keeps the size of the map, with a bias or, if ``norm_cfg`` is given, a normalisation.

    No activation: the teacher's feature may be negative. Usable wherever mmrazor takes a connector.

    Args:
        in_channels: Channels of the student's feature.
        out_channels: Channels of the teacher's feature.
        kernel_size: Odd size of the kernel.
        norm_cfg: Normalisation after the convolution, e.g. ``dict(type='BN')``.
        init_cfg: How to initialise the weights. Default: so that the variance of the feature is kept, bias zero.

    Raises:
        ValueError: the kernel is no odd number, so that the map would change its size.

    Example:
        >>> import torch
        >>> ConvConnector(128, 256)(torch.zeros(2, 128, 7, 5)).shape
        torch.Size([2, 256, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        if init_cfg is None:
            init_cfg = dict(type='Kaiming', layer='Conv2d', a=1, mode='fan_in', nonlinearity='leaky_relu')
        super().__init__(init_cfg)
        if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'ConvConnector: kernel_size: expected an odd number, but got {kernel_size!r}')
        padding = kernel_size // 2
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=norm_cfg is None)
        self.norm = nn.Identity() if norm_cfg is None else build_norm_layer(norm_cfg, out_channels)[1]

    def forward(self, feature: Tensor) -> Tensor:
        """Maps (N, in_channels, H, W) to (N, out_channels, H, W).

        Raises:
            ValueError: the feature is no map.
        """
        check_map('ConvConnector', feature)
        return self.norm(self.conv(feature))


def build_connector(spec: str | dict | None, in_channels: int, out_channels: int) -> nn.Module:
    """Builds a connector from its short form.

    Args:
        spec: ``None`` (nothing in between), ``'conv1x1'``, ``'conv3x3'``, or the config of any registered connector,
            mmrazor's included. What the config says of its channels counts; what it leaves out is filled in.
        in_channels: Channels of the student's feature.
        out_channels: Channels of the teacher's feature.

    Returns:
        A module from (N, in_channels, H, W) to (N, out_channels, H, W); with None the identity.

    Raises:
        ValueError: the short form is unknown or the config has no ``type``.
        TypeError: ``spec`` is none of the above.

    Example:
        >>> build_connector('conv1x1', 128, 256).conv
        Conv2d(128, 256, kernel_size=(1, 1), stride=(1, 1))
        >>> build_connector(dict(type='ConvConnector', norm_cfg=dict(type='BN')), 128, 256).norm.num_features
        256
    """
    if spec is None:
        return nn.Identity()
    if isinstance(spec, str):
        if spec not in SHORT_FORMS:
            forms = ', '.join(map(repr, SHORT_FORMS))
            raise ValueError(f'connector: expected {forms}, None or a dict with a type, but got {spec!r}')
        return ConvConnector(in_channels, out_channels, SHORT_FORMS[spec])
    if not isinstance(spec, dict):
        raise TypeError(f'connector: expected None, a string or a dict, but got a {type(spec).__name__}')
    if 'type' not in spec:
        raise ValueError(f'connector: the dict has no type: {dict(spec)}')
    return MODELS.build(_with_channels(spec, in_channels, out_channels))


def _with_channels(spec: dict, in_channels: int, out_channels: int) -> dict:
    """The config with the numbers of channels, under the names that the connector's class has for them."""
    spec = dict(spec)
    cls = MODELS.get(spec['type']) if isinstance(spec['type'], str) else spec['type']
    if cls is None:
        raise ValueError(f'connector: type: {spec["type"]!r} is not registered')
    accepted = inspect.signature(cls).parameters
    for names, channels in zip(CHANNEL_NAMES, (in_channels, out_channels), strict=True):
        for name in names:
            if name in accepted:
                spec.setdefault(name, channels)
    return spec
