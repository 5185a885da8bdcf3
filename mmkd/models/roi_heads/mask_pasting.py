"""Puts the small masks of the mask head where they belong in the image."""

from __future__ import annotations

import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from torch import Tensor

# Of masks pasted at a time on a GPU; a pixel takes a sampling point of two floats, its copy, and a value.
_MAX_BYTES = 2**30
_BYTES_PER_PIXEL = 20


def paste_masks(probs: Tensor, boxes: Tensor, height: int, width: int, threshold: float = 0.5) -> Tensor:
    """Samples each mask bilinearly in its box (``grid_sample`` with ``align_corners=False``) and cuts at a threshold.

    Args:
        probs: (N, S, S) probabilities.
        boxes: (N, 4), x1, y1, x2, y2 in pixels of the output; each has to overlap with it.
        height: Height of the output.
        width: Width of the output.
        threshold: A pixel belongs to the mask from this probability on. A negative one gives the probabilities
            instead, times 255 as uint8, as in mmdet.

    Returns:
        (N, height, width) bool, or uint8 if ``threshold`` is negative.
    """
    masks = probs.new_zeros(len(probs), height, width, dtype=torch.bool if threshold >= 0 else torch.uint8)
    num_per_chunk = max(1, _MAX_BYTES // (height * width * _BYTES_PER_PIXEL)) if probs.is_cuda else 1
    for start in range(0, len(probs), num_per_chunk):
        chunk = slice(start, start + num_per_chunk)
        # Alone, a mask is sampled only around its box.
        values, region = _do_paste_mask(
            probs[chunk, None].float(), boxes[chunk], height, width, skip_empty=num_per_chunk == 1
        )
        masks[(chunk, *region)] = values >= threshold if threshold >= 0 else (values * 255).to(torch.uint8)
    return masks
