"""The depth head: what it computes, written out, and what its losses and its depth are made from."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmkd.models import LateralPyramidHead, depth_bin_loss, virtual_normal_loss

CHANNELS = (3, 4, 5)
CAMERA = (20.0, 20.0, 12.0, 9.0)


def head_of(**options):
    torch.manual_seed(0)
    options = dict(in_channels=CHANNELS, channels=4, in_index=(0, 1, 2), dropout_ratio=0.0) | options
    return LateralPyramidHead(bins=dict(number=6, min_depth=0.5, max_depth=8.0), **options).eval()


def maps():
    torch.manual_seed(1)
    return [torch.randn(2, c, *size) for c, size in zip(CHANNELS, ((9, 12), (5, 6), (3, 3)), strict=True)]


def refined(part, x):
    """A residual branch on what one convolution brings to the width of the pyramid."""
    x = part.reduce(x)
    return (x + part.conv2(part.conv1.conv(x).relu())).relu()


def test_levels_are_weighted_by_both_means_and_added_from_the_top_down():
    head, levels = head_of(), maps()
    x = head.top(levels[-1].mean((2, 3), keepdim=True))
    for i in (2, 1, 0):
        above = F.interpolate(x, levels[i].shape[2:], mode='bilinear')
        lateral = refined(head.laterals[i], levels[i])
        merge = head.merges[i]
        means = torch.cat([lateral.mean((2, 3)), above.mean((2, 3))], 1)[..., None, None]
        weight = torch.sigmoid(merge.excite(merge.squeeze(means).relu()))
        x = refined(head.refines[i], lateral * weight + above)
    torch.testing.assert_close(head(levels), head.conv_seg(x))


def samples(size=(18, 24), **meta):
    depth = 1 + 5 * torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(2))
    depth[:, :, :2] = 0  # no reading
    found = [SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, **meta)) for _ in depth]
    for sample, data in zip(found, depth, strict=True):
        sample.gt_depth_map = PixelData(data=data)
    return found, depth


@pytest.mark.parametrize('intrinsics', ['of the data', 'of the config'])
def test_losses_are_those_of_the_bins_and_of_the_depth_at_the_size_of_the_labels(intrinsics):
    options = dict(num_triples=50, min_angle=5.0, min_distance=0.1, drop_easiest=0.0)
    head = head_of(
        loss_decode=dict(type='mmkd.DepthBinLoss', alpha=0.3, loss_weight=2.0),
        loss_normal=dict(type='mmkd.VirtualNormalLoss', loss_weight=3.0, **options),
        intrinsics=None if intrinsics == 'of the data' else CAMERA,
    )
    batch, depth = samples(**(dict(intrinsics=CAMERA) if intrinsics == 'of the data' else {}))
    logits = head(maps())
    losses = head.loss_by_feat(logits, batch)
    large = F.interpolate(logits, depth.shape[2:], mode='bilinear')
    expected = 2 * depth_bin_loss(large, head.bins.index_of(depth[:, 0]), alpha=0.3)
    torch.testing.assert_close(losses['loss_bins'], expected)
    # the triples of a call depend on how many there were
    generator = torch.Generator().manual_seed(type(head.loss_normal)(**options)._seed_of_this_call())
    cameras = torch.tensor([CAMERA, CAMERA])
    normals = virtual_normal_loss(head.bins.depth_of(large), depth, cameras, generator=generator, **options)
    assert normals > 0
    torch.testing.assert_close(losses[head.loss_normal.loss_name], 3 * normals)


def test_prediction_is_the_depth_at_the_size_of_the_image():
    head = head_of()
    logits = head(maps())
    found = head.predict_by_feat(logits, [dict(img_shape=(18, 24))] * 2)
    expected = head.bins.depth_of(F.interpolate(logits, (18, 24), mode='bilinear'))
    torch.testing.assert_close(found, expected)
    assert found.shape == (2, 1, 18, 24)
