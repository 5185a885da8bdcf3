"""Pasting of masks against detectron2."""

import numpy as np
import pytest
import torch
from helpers.golden import golden_arrays
from helpers.roi_head_cases import INFER_GOLDEN

from mmkd.models.roi_heads import mask_pasting
from mmkd.models.roi_heads.mask_pasting import paste_masks


def test_pastes_the_masks_of_the_golden_detections():
    arrays = golden_arrays(INFER_GOLDEN)
    height, width = arrays['post_size_hw'].tolist()
    expected = np.unpackbits(arrays['post_masks_packed'], axis=-1)[..., :width].astype(bool)
    assert len(arrays['post_boxes']) == len(arrays['mask_probs'])  # none was dropped, so the rows are the same
    masks = paste_masks(torch.from_numpy(arrays['mask_probs']), torch.from_numpy(arrays['post_boxes']), height, width)
    assert (masks.numpy() != expected).sum((1, 2)).max() <= 10
    assert masks.sum((1, 2)).max() > 1000


def test_full_mask_fills_the_pixels_whose_centres_are_inside():
    # Outside of its box a mask fades to zero over half a cell, here half a pixel: 0.5 is met up to 1/4 px beyond.
    masks = paste_masks(torch.ones(1, 28, 28), torch.tensor([[2.0, 3.0, 30.0, 31.0]]), 40, 50)
    expected = torch.zeros(1, 40, 50, dtype=torch.bool)
    expected[:, 3:31, 2:30] = True
    assert torch.equal(masks, expected)


def test_threshold_is_inclusive():
    # A side of 16 keeps the sampling points exact.
    probs, boxes = torch.full((1, 16, 16), 0.5), torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    assert paste_masks(probs, boxes, 16, 16, 0.5).all()
    assert not paste_masks(probs, boxes, 16, 16, 0.51).any()


def test_negative_threshold_gives_probabilities():
    masks = paste_masks(torch.full((1, 16, 16), 0.5), torch.tensor([[0.0, 0.0, 16.0, 16.0]]), 16, 16, -1)
    assert masks.dtype == torch.uint8
    assert masks.unique().tolist() == [127]


def test_no_masks():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), 30, 40).shape == (0, 30, 40)


@pytest.mark.parametrize('num_per_chunk', [2, 5])
def test_chunks_as_on_a_gpu_give_the_same(num_per_chunk, monkeypatch):
    torch.manual_seed(0)
    probs, corners = torch.rand(5, 28, 28), torch.rand(5, 2) * 30
    boxes = torch.cat([corners, corners + 5 + torch.rand(5, 2) * 30], dim=1)
    one_by_one = paste_masks(probs, boxes, 50, 60)

    class OnGpu(torch.Tensor):
        is_cuda = True

    monkeypatch.setattr(mask_pasting, '_MAX_BYTES', num_per_chunk * 50 * 60 * mask_pasting._BYTES_PER_PIXEL)
    chunked = paste_masks(probs.as_subclass(OnGpu), boxes, 50, 60)
    assert torch.equal(chunked.as_subclass(torch.Tensor), one_by_one)
