"""Connectors and their short forms."""

import copy
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from mmkd.distillation.connectors import ConvConnector, build_connector
from mmkd.registry import MODELS


@pytest.mark.parametrize('kernel_size', [1, 3])
@pytest.mark.parametrize('norm_cfg', [None, dict(type='BN'), dict(type='GN', num_groups=4)])
@pytest.mark.parametrize('height, width', [(1, 1), (7, 5)])
def test_connector_changes_the_channels_and_keeps_the_size(kernel_size, norm_cfg, height, width):
    connector = ConvConnector(6, 16, kernel_size, norm_cfg)
    feature = torch.randn(3, 6, height, width, requires_grad=True)
    out = connector(feature)
    assert out.shape == (3, 16, height, width)
    out.square().sum().backward()
    assert feature.grad is not None
    assert all(parameter.grad is not None for parameter in connector.parameters())


def test_connector_is_linear_so_that_it_can_reach_negative_features():
    connector = ConvConnector(2, 1)
    nn.init.constant_(connector.conv.weight, -1.0)
    nn.init.zeros_(connector.conv.bias)
    # -1 * 2 - 1 * 3
    assert connector(torch.tensor([2.0, 3.0]).view(1, 2, 1, 1)).item() == -5


def test_connector_has_a_bias_only_without_normalisation():
    assert ConvConnector(2, 3).conv.bias is not None
    assert ConvConnector(2, 3, norm_cfg=dict(type='BN')).conv.bias is None


@pytest.mark.parametrize('kernel_size', [1, 3])
def test_init_weights_keeps_the_variance(kernel_size):
    torch.manual_seed(0)
    connector = ConvConnector(128, 256, kernel_size)
    connector.init_weights()
    assert not connector.conv.bias.any()
    inner = connector(torch.randn(2, 128, 16, 16))[:, :, 1:-1, 1:-1]  # the padding lowers it at the border
    assert 0.9 < inner.std().item() < 1.1


def test_connector_refuses_an_even_kernel():
    with pytest.raises(ValueError, match='kernel_size: expected an odd number, but got 2'):
        ConvConnector(2, 3, 2)


@pytest.mark.parametrize('spec, kernel_size', [('conv1x1', (1, 1)), ('conv3x3', (3, 3))])
def test_short_forms(spec, kernel_size):
    connector = build_connector(spec, 4, 8)
    assert isinstance(connector, ConvConnector)
    assert connector.conv.weight.shape == (8, 4, *kernel_size)


def test_none_is_nothing_in_between():
    feature = torch.randn(1, 4, 2, 2)
    assert build_connector(None, 4, 8)(feature) is feature


@pytest.mark.parametrize('type_', ['ConvConnector', 'mmkd.ConvConnector', ConvConnector])
def test_config_gets_the_channels_that_it_leaves_out(type_):
    spec = dict(type=type_, kernel_size=3, norm_cfg=dict(type='BN'))
    before = copy.deepcopy(spec)
    connector = build_connector(spec, 4, 8)
    assert connector.conv.weight.shape == (8, 4, 3, 3)
    assert spec == before  # the user's config stays as it was
    assert build_connector(dict(spec, in_channels=5), 4, 8).conv.weight.shape == (8, 5, 3, 3)


def test_config_of_a_connector_with_mmrazors_names():
    @MODELS.register_module(name='ConnectorOfThisTest', force=True)
    class Connector(nn.Conv2d):
        def __init__(self, in_channel, out_channel):
            super().__init__(in_channel, out_channel, 1)

    assert build_connector(dict(type='ConnectorOfThisTest'), 4, 8).weight.shape == (8, 4, 1, 1)


@pytest.mark.skipif(find_spec('mmrazor') is None, reason='mmrazor is not installed')
def test_mmrazors_own_connector():
    from mmkd.compat import import_mmrazor

    import_mmrazor()
    connector = build_connector(dict(type='mmrazor.ConvModuleConnector', act_cfg=None), 4, 8)
    assert connector(torch.zeros(1, 4, 2, 2)).shape == (1, 8, 2, 2)


@pytest.mark.parametrize(
    'spec, error, pattern',
    [
        ('conv5x5', ValueError, "expected 'conv1x1', 'conv3x3', None or a dict with a type, but got 'conv5x5'"),
        (dict(kernel_size=1), ValueError, 'the dict has no type'),
        (dict(type='NoSuchConnector'), ValueError, "'NoSuchConnector' is not registered"),
        (3, TypeError, 'expected None, a string or a dict, but got a int'),
    ],
)
def test_wrong_spec_is_refused(spec, error, pattern):
    with pytest.raises(error, match=pattern):
        build_connector(spec, 4, 8)
