"""The neck of CenterNet with DLA: sizes of the published one, what it computes, deformable convolution."""

import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import ModulatedDeformConv2d

from mmkd.models.necks import DLANeck, DLAUp, IDAUp

CHANNELS = (64, 128, 256, 512)


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def pyramid(channels, height=32, width=48, number=1):
    return [torch.randn(number, c, height // 2**i, width // 2**i) for i, c in enumerate(channels)]


def test_parameters_are_as_many_as_those_of_the_original():
    neck = DLANeck(CHANNELS)
    assert num_parameters(neck.dla_up) == 3_001_472
    assert num_parameters(neck.ida_up) == 300_800
    assert neck.out_channels == 64


def test_aggregation_is_the_papers():
    """Three levels, written out. p: projection to the finer level's channels, u: up-sampling, n: node."""
    neck = DLANeck((8, 16, 32)).eval()
    a, b, c = pyramid((8, 16, 32))

    def step(ida, i, fine, coarse):
        up, proj, node = (getattr(ida, f'{name}_{i}') for name in ('up', 'proj', 'node'))
        return node(fine + up(proj(coarse)))

    first, second, last = neck.dla_up.ida_0, neck.dla_up.ida_1, neck.ida_up
    c1 = step(first, 1, b, c)
    b2 = step(second, 1, a, b)
    c2 = step(second, 2, b2, c1)
    # the pyramid is c2 (stride of a), c1 (stride of b), c; the last step joins the first two
    expected = step(last, 1, c2, c1)
    torch.testing.assert_close(neck((a, b, c))[0], expected)


@pytest.mark.parametrize('factor', [2, 4])
def test_upsampling_begins_as_bilinear(factor):
    ida = IDAUp((4, 4), 4, (1, factor))
    ida.init_weights()
    x = torch.rand(1, 4, 6, 5)
    expected = F.interpolate(x, scale_factor=factor, mode='bilinear', align_corners=False)
    inner = (..., slice(factor, -factor), slice(factor, -factor))  # at the border one pads zeros, the other repeats
    torch.testing.assert_close(ida.up_1(x)[inner], expected[inner])


def test_pyramid_keeps_sizes_and_channels():
    maps = pyramid((8, 16, 32))
    assert [x.shape for x in DLAUp((8, 16, 32))(maps)] == [x.shape for x in maps]


def test_deformable_convolution_in_every_node():
    neck = DLANeck((8, 16, 32), conv_cfg=dict(type='DCNv2', deform_groups=1))
    neck.init_weights()
    nodes = [module for module in neck.modules() if isinstance(module, ModulatedDeformConv2d)]
    assert len(nodes) == 2 + 4 + 2
    out = neck(pyramid((8, 16, 32)))[0]
    assert out.shape == (1, 8, 32, 48)
    out.square().mean().backward()
    offsets = [parameter for key, parameter in neck.named_parameters() if 'conv_offset' in key]
    assert len(offsets) == 16 and all(parameter.grad.abs().sum() > 0 for parameter in offsets)


def test_wrong_numbers_of_levels_are_named():
    with pytest.raises(ValueError, match='in_channels has 1 levels'):
        DLANeck((64,))
    with pytest.raises(ValueError, match='num_outs_joined is 4'):
        DLANeck((8, 16, 32), num_outs_joined=4)
    with pytest.raises(ValueError, match='got 2 maps, expected 3'):
        DLANeck((8, 16, 32))(pyramid((8, 16)))
