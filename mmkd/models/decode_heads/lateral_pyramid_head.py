"""The depth head of virtual normal learning: a pyramid with lateral connections, and depth as a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..losses.depth_bin_loss import DepthBins

__all__ = ['LateralPyramidHead']


class _Transfer(nn.Module):
    """1x1 convolution to the pyramid's width, and a residual branch of two 3x3 convolutions."""

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict | None):
        super().__init__()
        self.reduce = nn.Conv2d(in_channels, channels, 1) if in_channels != channels else nn.Identity()
        self.conv1 = ConvModule(
            channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=dict(type='ReLU', inplace=False)
        )
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return F.relu(x + self.conv2(self.conv1(x)))


class _Merge(nn.Module):
    """Adds a lateral map to the map from above, each channel weighted by what both have in the mean."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(2 * channels, channels, 1)
        self.excite = nn.Conv2d(channels, channels, 1)

    def forward(self, lateral: Tensor, above: Tensor) -> Tensor:
        mean = torch.cat([lateral, above], dim=1).mean(dim=(2, 3), keepdim=True)
        return lateral * self.excite(F.relu(self.squeeze(mean))).sigmoid() + above


@MODELS.register_module()
class LateralPyramidHead(BaseDecodeHead):
    """Predicts depth from the levels of a backbone; for mmseg's ``DepthEstimator``.

    From the mean of the deepest map downwards, each level is brought to one width, weighted by channel attention, added
    to what comes from above, refined, and enlarged to the next. The last map, at the size of the first level, is
    classified into depth bins (``conv_seg``, whose logits a distillation may tap); the depth is the expectation over
    them. The network follows Yin et al. (ICCV 2019, section 3.4), with plain convolutions.

    Args:
        in_channels: Channels of the backbone's levels, the largest map first.
        channels: Width of the pyramid.
        bins: ``dict(number=150, min_depth=0.1, max_depth=10.0)``: the depth bins, in metres; see :class:`DepthBins`.
        loss_decode: Loss of the bins.
        loss_normal: Config of a loss of the depth map and the camera, ``dict(type='mmkd.VirtualNormalLoss')``, or None.
        intrinsics: fx, fy, cx, cy of the images as the network sees them, in pixels, where the data set does not give
            ``intrinsics`` in the data samples (:class:`mmkd.datasets.DepthFolder` does).
        in_index, **kwargs: As for mmseg's decode heads.

    Raises:
        ValueError: The virtual normals are asked for and no intrinsics are found.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        bins: dict,
        loss_decode: Any = None,
        loss_normal: dict | None = None,
        intrinsics: Sequence[float] | None = None,
        in_index: Sequence[int] = (0, 1, 2, 3),
        **kwargs,
    ):
        depth_bins = DepthBins(**{key: value for key, value in bins.items() if key != '_scope_'})
        kwargs.pop('num_classes', None)
        super().__init__(
            list(in_channels),
            channels,
            num_classes=depth_bins.number,
            in_index=list(in_index),
            input_transform='multiple_select',
            loss_decode=loss_decode or dict(type='mmkd.DepthBinLoss'),
            **kwargs,
        )
        self.out_channels = 1  # of the prediction: mmseg's sliding windows ask for it
        self.bins = depth_bins
        self.loss_normal = MODELS.build(loss_normal) if loss_normal else None
        self.intrinsics = tuple(intrinsics) if intrinsics is not None else None
        self.top = nn.Conv2d(in_channels[-1], channels, 1)
        self.laterals = nn.ModuleList([_Transfer(width, channels, self.norm_cfg) for width in in_channels])
        self.merges = nn.ModuleList([_Merge(channels) for _ in in_channels])
        self.refines = nn.ModuleList([_Transfer(channels, channels, self.norm_cfg) for _ in in_channels])

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits of the depth bins (N, B, H, W) at the size of the first level."""
        levels = self._transform_inputs(inputs)
        x = self.top(levels[-1].mean(dim=(2, 3), keepdim=True))
        for level, lateral, merge, refine in reversed(
            list(zip(levels, self.laterals, self.merges, self.refines, strict=True))
        ):
            x = self._resize(x, level.shape[2:])
            x = refine(merge(lateral(level), x))
        return self.cls_seg(x)

    def _resize(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return resize(x, size, mode='bilinear', align_corners=self.align_corners, warning=False)

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: Sequence) -> dict[str, Tensor]:
        """The losses, at the size of the labels.

        Args:
            seg_logits: Logits of the bins (N, B, H, W).
            batch_data_samples: With ``gt_depth_map`` in metres, 0 where there is no reading.
        """
        target = torch.stack([sample.gt_depth_map.data for sample in batch_data_samples])
        logits = self._resize(seg_logits, target.shape[2:])
        index = self.bins.index_of(target[:, 0])
        losses: dict[str, Tensor] = {}
        for loss in self.loss_decode if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]:
            losses[loss.loss_name] = losses.get(loss.loss_name, 0) + loss(logits, index)
        if self.loss_normal is not None:
            cameras = target.new_tensor([self._camera_of(sample) for sample in batch_data_samples])
            losses[self.loss_normal.loss_name] = self.loss_normal(self.bins.depth_of(logits), target, cameras)
        return losses

    def _camera_of(self, sample) -> Sequence[float]:
        camera = sample.metainfo.get('intrinsics', self.intrinsics)
        if camera is None or len(camera) != 4:
            raise ValueError(
                f'decode_head.intrinsics: fx, fy, cx, cy were expected for loss_normal, got {camera!r}; the data set '
                "can give them, with 'intrinsics' among the meta_keys of PackSegInputs"
            )
        return camera

    def predict_by_feat(self, seg_logits: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """The depth map (N, 1, H, W) in metres, at the size of the network's input."""
        return self.bins.depth_of(super().predict_by_feat(seg_logits, batch_img_metas))
