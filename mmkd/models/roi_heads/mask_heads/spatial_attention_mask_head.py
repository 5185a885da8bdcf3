"""SAG-Mask: the mask head with spatial attention of CenterMask (Lee & Park 2020, section 3.2)."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..mask_targets import mask_targets, of_batch


def select_class(mask_preds: Tensor, labels: Tensor) -> Tensor:
    """The logits of one class per RoI.

    Args:
        mask_preds: (N, num_classes, H, W), or (N, 1, H, W) of a class-agnostic head.
        labels: (N,) classes.

    Returns:
        (N, H, W).
    """
    if mask_preds.shape[1] == 1:
        return mask_preds[:, 0]
    return mask_preds[torch.arange(labels.shape[0], device=labels.device), labels]


class SpatialAttention(BaseModule):
    """Weights each position by what its mean and its largest channel say (CBAM, Woo et al. 2018, section 3).

    ``y = x * sigmoid(conv([mean_c(x), max_c(x)]))``, the mean first.

    Args:
        kernel_size: Side of the convolution's kernel, 3 (CenterMask) or 7 (CBAM).
        init_cfg: Initialisation config.

    Raises:
        ValueError: If ``kernel_size`` is neither 3 nor 7.
    """

    def __init__(self, kernel_size: int = 3, init_cfg: dict | None = None):
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        if kernel_size not in (3, 7):
            raise ValueError(f'mask_head.attention_kernel_size: got {kernel_size}, expected 3 or 7')
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        summary = torch.cat([x.mean(dim=1, keepdim=True), x.max(dim=1, keepdim=True).values], dim=1)
        return x * self.conv(summary).sigmoid()


@MODELS.register_module()
class SpatialAttentionMaskHead(FCNMaskHead):
    """mmdet's ``FCNMaskHead`` with spatial attention between its convolutions and its up-sampling.

    It can take the place of ``FCNMaskHead`` in any mmdet RoI head. Two things differ beside the attention, both as in
    centermask2: its targets are cut out with the boxes as they are, also where they leave the image (see
    :mod:`mmkd.models.roi_heads.mask_targets`), and its last layer starts from N(0, 0.001).

    Args:
        *args: Those of ``FCNMaskHead``.
        attention_kernel_size: Side of the attention's kernel, 3 or 7.
        **kwargs: Those of ``FCNMaskHead``.
    """

    def __init__(self, *args, attention_kernel_size: int = 3, **kwargs):
        super().__init__(*args, **kwargs)
        self.spatial_attention = SpatialAttention(attention_kernel_size)

    def init_weights(self) -> None:
        """Kaiming normal (fan out) everywhere but in the last layer."""
        super().init_weights()
        nn.init.normal_(self.conv_logits.weight, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Mask logits of every class.

        Args:
            x: (N, C, h, w) pooled features.

        Returns:
            (N, num_classes, 2h, 2w), or (N, 1, 2h, 2w) if ``class_agnostic``.
        """
        for conv in self.convs:
            x = conv(x)
        x = self.spatial_attention(x)
        if self.upsample is not None:
            x = self.upsample(x)
            if self.upsample_method == 'deconv':
                x = self.relu(x)
        return self.conv_logits(x)

    def get_targets(self, sampling_results: list, batch_gt_instances: list, rcnn_train_cfg: dict) -> Tensor:
        """The part of its instance in each positive RoI of the batch, (N, mask_size, mask_size) of 0 and 1."""
        return of_batch(mask_targets, sampling_results, batch_gt_instances, rcnn_train_cfg['mask_size'])

    def loss_and_target(
        self, mask_preds: Tensor, sampling_results: list, batch_gt_instances: list, rcnn_train_cfg: dict
    ) -> dict:
        """The loss on the positive RoIs, zero (with a graph) if there is none.

        Args:
            mask_preds: (N, num_classes, H, W) logits of the positive RoIs of the batch.
            sampling_results: mmdet's ``SamplingResult`` of each image.
            batch_gt_instances: ``InstanceData`` with ``masks`` of each image.
            rcnn_train_cfg: Has ``mask_size``, the side of the targets.

        Returns:
            ``dict(loss_mask=dict(loss_mask=...), mask_targets=...)``, as mmdet's heads do.

        Raises:
            ValueError: If the head's output has not the size ``mask_size``.
        """
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        if targets.shape[-2:] != mask_preds.shape[-2:]:
            raise ValueError(
                f'train_cfg.rcnn.mask_size: got {rcnn_train_cfg["mask_size"]}, expected the size of what mask_head '
                f'puts out, {tuple(mask_preds.shape[-2:])}'
            )
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        # One class before the conversion: all of them in float32 would take 80 times the memory.
        logits = select_class(mask_preds, labels).float()
        if len(logits):
            loss = self.loss_mask(logits[:, None], targets, torch.zeros_like(labels))
        else:
            loss = logits.sum()
        return dict(loss_mask=dict(loss_mask=loss), mask_targets=targets)
