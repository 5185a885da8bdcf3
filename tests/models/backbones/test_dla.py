"""DLA: sizes and names of the published networks, what it computes, and its switches."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.models.backbones import DLA
from mmkd.models.backbones.dla_layers import Root
from mmkd.registry import MODELS

# Parameters of the published classifiers of 1000 classes, without projections that nothing depends on.
CLASSIFIERS = {
    34: 15_742_104,
    '46_c': 1_301_400,
    '46x_c': 1_068_440,
    '60x_c': 1_319_832,
    60: 22_036_632,
    '60x': 17_352_344,
    102: 33_268_888,
    '102x': 26_309_272,
    '102x2': 41_282_200,
    169: 53_389_720,
}


def num_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('depth', DLA.arch_settings)
def test_parameters_are_as_many_as_published(depth):
    with torch.device('meta'):
        net = DLA(depth)
    channels = net.out_channels[-1]
    assert num_parameters(net) + 1000 * (channels + 1) == CLASSIFIERS[depth]


def test_with_the_unused_projections_dla34_has_the_parameters_of_the_original_code():
    # 1x1 convolutions 64 -> 128 and 128 -> 256, each with a norm
    unused = (64 * 128 + 2 * 128) + (128 * 256 + 2 * 256)
    assert num_parameters(DLA(34)) + unused == 15_270_832


def public_file(net):
    """What an ImageNet file of the original holds for DLA-34."""
    state = {key: torch.rand_like(value) for key, value in net.state_dict().items() if value.is_floating_point()}
    for name, inputs, outputs in (('level3', 64, 128), ('level4', 128, 256)):
        state[f'{name}.project.0.weight'] = torch.rand(outputs, inputs, 1, 1)
        for key in ('weight', 'bias', 'running_mean', 'running_var'):
            state[f'{name}.project.1.{key}'] = torch.rand(outputs)
    return state | {'fc.weight': torch.rand(1000, 512, 1, 1), 'fc.bias': torch.rand(1000)}


def test_names_are_those_of_the_public_files():
    keys = set(DLA(34).state_dict())
    assert {
        'base_layer.0.weight',
        'base_layer.1.running_var',
        'level0.0.weight',
        'level1.1.bias',
        'level2.tree1.conv1.weight',
        'level2.tree1.bn2.weight',
        'level2.root.conv.weight',
        'level2.root.bn.bias',
        'level2.project.0.weight',
        'level2.project.1.running_mean',
        'level3.tree1.tree1.conv1.weight',
        'level3.tree1.project.0.weight',
        'level3.tree2.root.conv.weight',
        'level4.tree2.tree2.bn1.weight',
        'level5.project.0.weight',
        'level5.root.bn.running_var',
    } <= keys
    # base 6; levels 0, 1: 6 each; a tree of two blocks and a root: 2 * 12 + 6, with projection 6 more
    assert len(keys) == 6 + 12 + 36 + (36 + 30) * 2 + 36
    assert DLA(34).level3.tree2.root.conv.in_channels == 64 + 128 * 3  # input, first tree, two blocks


def test_public_file_loads_as_pretrained(tmp_path):
    net = DLA(34)
    state = public_file(net)
    torch.save(state, tmp_path / 'dla34.pth')
    net = DLA(34, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'dla34.pth')))
    net.init_weights()
    for key, value in net.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, state[key], rtol=0, atol=0)


def test_a_plain_load_leaves_out_the_unused_projections_and_nothing_else():
    net = DLA(34)
    found = net.load_state_dict(public_file(net), strict=False)
    assert set(found.unexpected_keys) == {'fc.weight', 'fc.bias'}
    assert all(key.endswith('num_batches_tracked') for key in found.missing_keys)


def test_file_of_another_depth_is_refused(tmp_path):
    torch.save(DLA('46_c').state_dict(), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='backbone.init_cfg.checkpoint'):
        DLA(34, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'other.pth'))).init_weights()


def naive_block(block, x, residual):
    y = torch.relu(block.bn1(block.conv1(x)))
    return torch.relu(block.bn2(block.conv2(y)) + residual)


def test_tree_aggregates_as_the_paper_draws_it():
    """Figure 3 f of the paper at depth 2, written out: the last root sees both blocks, the first tree and the input."""
    net = DLA(34).eval()
    tree = net.level3
    with torch.no_grad():
        for module in tree.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
        x = torch.randn(1, 64, 8, 12)
        bottom = nn.functional.max_pool2d(x, 2)
        first, last = tree.tree1, tree.tree2
        a1 = naive_block(first.tree1, x, first.project(bottom))
        a2 = naive_block(first.tree2, a1, a1)
        a = torch.relu(first.root.bn(first.root.conv(torch.cat([a2, a1], 1))))
        b1 = naive_block(last.tree1, a, a)
        b2 = naive_block(last.tree2, b1, b1)
        expected = torch.relu(last.root.bn(last.root.conv(torch.cat([b2, b1, bottom, a], 1))))
        torch.testing.assert_close(tree(x), expected)


def test_residual_of_a_root_is_the_last_block():
    root = Root(6, 3, dict(type='BN'), residual=True).eval()
    last, first = torch.randn(2, 1, 3, 4, 5)
    torch.testing.assert_close(root(last, first), torch.relu(root.bn(root.conv(torch.cat([last, first], 1))) + last))


def test_root_of_the_larger_networks_has_a_residual():
    assert DLA(102).level3.tree1.tree1.root.residual
    assert not DLA(60).level3.tree1.root.residual


def test_norm_cfg_chooses_the_norm():
    net = DLA(34, norm_cfg=dict(type='GN', num_groups=8))
    assert not any(isinstance(module, _BatchNorm) for module in net.modules())
    assert isinstance(net.level5.root.bn, nn.GroupNorm)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(depth=35), 'depth is 35, expected one of 34'),
        (dict(out_indices=(3, 2)), r'out_indices is \(3, 2\)'),
        (dict(out_indices=(6,)), r'out_indices is \(6,\)'),
        (dict(frozen_stages=5), 'frozen_stages is 5'),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        DLA(**options)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_it_is_built_from_a_config_in_either_library(scope):
    with DefaultScope.overwrite_default_scope(scope):
        assert isinstance(MODELS.build(dict(type='mmkd.DLA', depth='46_c')), DLA)
