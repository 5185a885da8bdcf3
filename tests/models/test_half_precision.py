"""Deformable convolutions under autocast and in networks of half precision, where mmcv alone crashes."""

import pytest
import torch
from helpers.networks import NETWORKS, build
from mmcv.cnn import build_conv_layer

HALVES = [torch.bfloat16, torch.float16]


def layer_of(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    layer = build_conv_layer(dict(type=kind, deform_groups=1), 4, 6, 3, padding=1, bias=False)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
    return layer


@pytest.mark.parametrize('name', ['VoVNet-DCN', 'DLANeck-DCN'])
def test_networks_train_under_autocast_of_float16(name):
    """As under that of bfloat16, in which all networks are tested."""
    model = build(NETWORKS[name])
    model.init_weights()
    with torch.autocast('cpu', torch.float16):
        out = model(*NETWORKS[name].inputs(64, 64))[-1]
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for n, p in model.named_parameters() if 'conv_off' in n)


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_autocast_stays_close_to_single_precision(kind, dtype):
    layer, x = layer_of(kind), torch.randn(1, 4, 12, 12)
    exact = layer(x)
    with torch.autocast('cpu', dtype):
        out = layer(x)
    assert out.dtype == dtype
    assert (out.float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize('dtype', HALVES)
@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_a_network_of_half_precision_runs(kind, dtype):
    layer, x = layer_of(kind), torch.randn(1, 4, 12, 12)
    exact = layer(x)
    out = layer.to(dtype)(x.to(dtype))
    assert out.dtype == dtype
    assert (out.float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize('kind', ['DCN', 'DCNv2'])
def test_single_and_double_precision_are_left_alone(kind):
    layer, x = layer_of(kind), torch.randn(1, 4, 12, 12)
    assert layer(x).dtype == torch.float32
    out = layer.double()(x.double())
    assert out.dtype == torch.float64
    torch.testing.assert_close(out.float(), layer.float()(x), rtol=1e-4, atol=1e-5)
