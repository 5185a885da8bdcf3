"""VoVNetV2 against the goldens of the original, and its switches."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.golden import (
    BACKBONE_PREFIX,
    assert_close_to_rms,
    golden_arrays,
    golden_keys,
    golden_models,
)
from mmengine.runner.checkpoint import load_state_dict
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd.models.backbones import VoVNet
from mmkd.models.backbones.vovnet_layers import EffectiveSEModule, OSABlock, conv_norm_relu, ordinary_name
from mmkd.utils.state_dict import check_state_dict_fits

DCN = dict(dcn=dict(type='DCNv2', deform_groups=1), stage_with_dcn=(False, True, True, True))
TINY = 'V-19-slim-dw-eSE'
ARCHS = tuple(VoVNet.arch_settings)


def vovnet_models():
    return [name for name in golden_models() if '-V-' in name]


def arch_of(model: str) -> str:
    return model.removeprefix('centermask2-').removeprefix('lite-').removesuffix('-dcn')


def build_on_meta(arch, **kwargs):
    with torch.device('meta'):
        return VoVNet(arch, **kwargs)


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope='module')
def units():
    return golden_arrays('centermask2/E_units')


# ---------------------------------------------------------------------------------------------------- keys and counts


@pytest.mark.parametrize('model', vovnet_models())
def test_keys_and_shapes_are_those_of_the_original_checkpoint(model):
    backbone = build_on_meta(arch_of(model), **(DCN if model.endswith('-dcn') else {}))
    ours = {k: list(v.shape) for k, v in backbone.state_dict().items() if not k.endswith('num_batches_tracked')}
    # The offsets of a deformable layer belong to mmcv's layer; in the original they are its sibling.
    ours = {k.replace('.conv.conv_offset.', '.conv_offset.'): v for k, v in ours.items()}
    keys = golden_keys(model, BACKBONE_PREFIX)
    assert ours == {ordinary_name(k.removeprefix(BACKBONE_PREFIX)): v for k, v in keys.items()}
    assert len(ours) == len(keys)


@pytest.mark.parametrize('arch', [TINY, 'V-39-eSE'])
def test_names_of_modules_are_ordinary(arch):
    names = [name for name, _ in build_on_meta(arch).named_modules() if name]
    assert all(part.isidentifier() or part.isdigit() for name in names for part in name.split('.'))


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'architecture.backbone.'])
def test_files_under_the_names_with_slashes_load(prefix):
    weights = {prefix + key: value for key, value in weights_of_the_original('V-39-eSE').items()}
    assert any('/' in key for key in weights)
    model = nn.Module()
    model.backbone = VoVNet('V-39-eSE')
    if prefix.startswith('architecture'):
        model.architecture = nn.Module()
        model.architecture.backbone = model.__dict__['_modules'].pop('backbone')
    target = model if prefix else model.backbone
    check_state_dict_fits(target, weights)
    kept = dict(weights)
    assert load_state_dict(target, weights, strict=False) is None
    target.load_state_dict(weights, strict=False)
    assert weights == kept
    state = target.state_dict()
    assert all((v == 0.25).all() for k, v in state.items() if not k.endswith('num_batches_tracked'))
    assert not any('/' in key for key in state)


@pytest.mark.parametrize('name', ['MMKD', 'stage3.OSA3_1.ese.fc.bias', 'neck/lateral.weight'])
def test_other_names_stay(name):
    assert ordinary_name(name) == name


@pytest.mark.parametrize(
    ('arch', 'dcn', 'expected'),
    [
        ('V-19-slim-dw-eSE', False, 1_384_752),
        ('V-19-dw-eSE', False, 5_518_080),
        ('V-19-slim-eSE', False, 2_653_136),
        ('V-19-eSE', False, 10_180_416),
        ('V-39-eSE', False, 25_184_128),
        ('V-57-eSE', False, 41_454_912),
        ('V-99-eSE', False, 69_523_520),
        ('V-39-eSE', True, 26_957_731),
        ('V-57-eSE', True, 44_441_976),
        ('V-99-eSE', True, 74_937_641),
    ],
)
def test_number_of_parameters_is_the_published_one(arch, dcn, expected):
    assert num_parameters(build_on_meta(arch, **(DCN if dcn else {}))) == expected


@pytest.mark.parametrize(('arch', 'expected'), [('V-39-eSE', 24.569), ('V-19-dw-eSE', 6.543), ('V-57-eSE', 38.609)])
def test_gates_on_the_last_block_give_the_size_of_timms_models(arch, expected):
    # timm counts a 1000-way classifier on the 1024 channels of the last stage.
    total = num_parameters(build_on_meta(arch, ese_on='last')) + 1024 * 1000 + 1000
    assert total / 1e6 == pytest.approx(expected, abs=5e-4)


def test_gate_on_the_last_block_leaves_the_other_blocks_without():
    keys = build_on_meta('V-39-eSE', ese_on='last').state_dict()
    assert 'stage4.OSA4_2.ese.fc.weight' in keys
    assert not any(key.startswith('stage4.OSA4_1.ese') for key in keys)


# ------------------------------------------------------------------------------------------------------------ goldens


def test_ese_gate_equals_the_original(units):
    module = EffectiveSEModule(24)
    module.fc.weight.data = torch.from_numpy(units['ese_weight'])
    module.fc.bias.data = torch.from_numpy(units['ese_bias'])
    assert_close_to_rms(module(torch.from_numpy(units['ese_x'])), units['ese_y'], 1e-5)


@pytest.mark.parametrize(('bias', 'gate'), [(3.0, 1.0), (0.0, 0.5), (-3.0, 0.0), (1.5, 0.75), (5.0, 1.0), (-9.0, 0.0)])
def test_ese_gate_is_the_hard_sigmoid_of_the_fc(bias, gate):
    module = EffectiveSEModule(4)
    nn.init.zeros_(module.fc.weight)
    nn.init.constant_(module.fc.bias, bias)
    x = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(module(x), x * gate)


@pytest.mark.parametrize('size', ['8x10', '9x11', '5x6', '3x3'])
def test_pooling_between_stages_equals_the_original(units, size):
    pooling = build_on_meta(TINY).stage3.Pooling
    np.testing.assert_array_equal(pooling(torch.from_numpy(units[f'pool_x_{size}'])).numpy(), units[f'pool_y_{size}'])


def test_pooling_equals_padding_with_minus_infinity_on_even_sizes():
    pooling = build_on_meta(TINY).stage3.Pooling
    x = torch.randn(1, 2, 12, 8)
    padded = F.pad(x, (0, 1, 0, 1), value=float('-inf'))
    torch.testing.assert_close(pooling(x), F.max_pool2d(padded, 3, 2))


def test_deformable_layer_equals_the_original(units):
    layer = conv_norm_relu(4, 6, 3, dict(type='BN'), conv_cfg=dict(type='DCNv2', deform_groups=1))
    parameters = {
        key.removeprefix('dcn_param/').replace('conv_offset', 'conv.conv_offset'): torch.from_numpy(value)
        for key, value in units.items()
        if key.startswith('dcn_param/')
    }
    layer.load_state_dict(parameters, strict=True)
    layer.eval()
    x = torch.from_numpy(units['dcn_x'])
    with torch.no_grad():
        assert_close_to_rms(layer[0].conv_offset(x), units['dcn_offset_conv_out'], 1e-5)
        assert_close_to_rms(layer[0](x), units['dcn_conv_out'], 1e-5)
        assert_close_to_rms(layer(x), units['dcn_out'], 1e-5)


def test_deformable_layers_are_only_in_the_chosen_stages_and_start_with_no_offset():
    model = VoVNet('V-39-eSE', **DCN)
    model.init_weights()
    offsets = {name: m for name, m in model.named_modules() if hasattr(m, 'conv_offset')}
    # Stages 3, 4, 5 have 1, 2, 2 blocks of 5 layers.
    assert len(offsets) == 25
    assert not any(name.startswith(('stem', 'stage2')) or 'concat' in name for name in offsets)
    assert all(m.conv_offset.weight.abs().max() == 0 and m.conv_offset.bias.abs().max() == 0 for m in offsets.values())


def test_deformable_layers_without_offset_are_halved_convolutions():
    # The mask is sigmoid(0) = 0.5 and nothing is shifted.
    layer = conv_norm_relu(3, 5, 3, dict(type='BN'), conv_cfg=dict(type='DCNv2', deform_groups=1))
    x = torch.randn(1, 3, 6, 7)
    expected = 0.5 * F.conv2d(x, layer[0].weight, padding=1)
    torch.testing.assert_close(layer[0](x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dcn', [dict(type='DCN', deform_groups=2), dict(type='DCNv2', fallback_on_stride=False)])
def test_other_deformable_layers_run(dcn):
    model = VoVNet('V-19-slim-eSE', stage_with_dcn=(False, False, False, True), dcn=dcn).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 96, 96))[-1].shape == (1, 512, 3, 3)


# -------------------------------------------------------------------------------------------------- blocks and shapes


def test_block_adds_its_input_after_the_gate_and_without_relu():
    block = OSABlock(6, 4, 6, 2, dict(type='BN'), identity=True).eval()
    nn.init.constant_(block.ese.fc.bias, -100.0)  # a closed gate leaves the input alone, negative values included
    x = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(block(x), x)


def test_depthwise_block_concatenates_the_input_before_the_reduction():
    block = OSABlock(6, 4, 8, 2, dict(type='BN'), depthwise=True, with_ese=False).eval()
    for layer in block.layers:
        nn.init.zeros_(layer[1].weight)  # the layers give zero, so only the input passes
    weight = torch.randn_like(block.concat[0].weight)
    block.concat[0].weight.data = weight
    x = torch.randn(1, 6, 5, 5)
    expected = block.concat[1](F.conv2d(x, weight[:, :6])).relu()
    torch.testing.assert_close(block(x), expected)


def test_depthwise_stage_without_a_change_of_channels_has_no_reduction():
    keys = build_on_meta(TINY).state_dict()
    assert not any(key.startswith('stage2.OSA2_1.conv_reduction') for key in keys)
    assert any(key.startswith('stage3.OSA3_1.conv_reduction') for key in keys)


@pytest.mark.parametrize('arch', ARCHS)
def test_output_shapes_of_every_arch(arch):
    model = build_on_meta(arch)
    outs = model(torch.empty(2, 3, 64, 96, device='meta'))
    assert [tuple(out.shape) for out in outs] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(model.out_channels, (4, 8, 16, 32), strict=True)
    ]


def test_out_indices_choose_stages_and_later_stages_are_not_built():
    model = build_on_meta(TINY, out_indices=(0, 2))
    outs = model(torch.empty(1, 3, 64, 64, device='meta'))
    assert isinstance(outs, tuple)
    assert [out.shape[1] for out in outs] == [112, 384] == list(model.out_channels)
    assert not hasattr(model, 'stage5')


# ---------------------------------------------------------------------------------------------------- training modes


def norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def test_frozen_norms_neither_train_nor_move_while_every_convolution_trains():
    model = VoVNet(TINY, norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True).train()
    before = [norm.running_mean.clone() for norm in norms(model)]
    model(torch.randn(2, 3, 32, 32))[-1].sum().backward()
    assert all(torch.equal(a, norm.running_mean) for a, norm in zip(before, norms(model), strict=True))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {n for n, p in model.named_parameters() if p.ndim == 4 or n.endswith('ese.fc.bias')}


@pytest.mark.parametrize(('frozen_stages', 'frozen'), [(-1, set()), (0, {'stem'}), (2, {'stem', 'stage2', 'stage3'})])
def test_frozen_stages_count_the_stem_as_zero(frozen_stages, frozen):
    model = VoVNet(TINY, frozen_stages=frozen_stages, norm_eval=False)
    model.train()
    for name, child in model.named_children():
        is_frozen = name in frozen
        assert all(parameter.requires_grad != is_frozen for parameter in child.parameters()), name
        assert all(norm.training != is_frozen for norm in norms(child)), name


def test_all_stages_can_be_frozen_when_some_are_not_built():
    model = VoVNet(TINY, out_indices=(1,), frozen_stages=4)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize('norm_cfg', [dict(type='SyncBN'), dict(type='GN', num_groups=16)])
def test_other_norms(norm_cfg):
    model = VoVNet(TINY, norm_cfg=norm_cfg)
    keys = model.state_dict()
    assert ('stem.stem_1.norm.running_mean' in keys) == (norm_cfg['type'] == 'SyncBN')
    assert model.stem.stem_1.norm.eps == 1e-5
    if norm_cfg['type'] == 'GN':
        assert model(torch.randn(1, 3, 32, 32))[0].shape == (1, 112, 8, 8)


def test_two_models_keep_their_own_norms():
    first, second = VoVNet(TINY, norm_cfg=dict(type='GN', num_groups=16)), VoVNet(TINY)
    assert isinstance(first.stem.stem_1.norm, nn.GroupNorm)
    assert isinstance(second.stem.stem_1.norm, nn.BatchNorm2d)


def test_default_initialisation_keeps_the_scale_of_the_signal():
    torch.manual_seed(0)
    model = VoVNet('V-19-slim-eSE')
    model.init_weights()
    with torch.no_grad():
        out = model.eval()(torch.randn(1, 3, 64, 64))[-1]
    assert 0.05 < out.std() < 20


def weights_of_the_original(arch=TINY, value=0.25):
    """A checkpoint with frozen norms: no counters."""
    keys = golden_keys(next(m for m in vovnet_models() if arch_of(m) == arch), BACKBONE_PREFIX)
    return {key.removeprefix(BACKBONE_PREFIX): torch.full(shape, value) for key, shape in keys.items()}


def pretrained_vovnet(path, **kwargs):
    return VoVNet(init_cfg=dict(type='Pretrained', checkpoint=str(path), **kwargs.pop('init', {})), **kwargs)


@pytest.mark.parametrize('prefix', ['', 'module.', 'bottom_up.', 'module.backbone.bottom_up.'])
@pytest.mark.parametrize('wrapper', [None, 'model', 'state_dict'])
def test_pretrained_file_of_the_original_loads_through_init_cfg(tmp_path, prefix, wrapper):
    weights = {prefix + key: value for key, value in weights_of_the_original().items()}
    weights['head.weight'] = torch.zeros(3)
    torch.save({wrapper: weights} if wrapper else weights, tmp_path / 'vovnet.pth')
    model = pretrained_vovnet(tmp_path / 'vovnet.pth', arch=TINY)
    model.init_weights()
    assert all((v == 0.25).all() for k, v in model.state_dict().items() if not k.endswith('num_batches_tracked'))
    assert model.init_cfg['type'] == 'Pretrained'


def test_backbone_can_be_taken_from_a_detector(tmp_path):
    weights = {f'backbone.{key}': value for key, value in weights_of_the_original().items()}
    torch.save({'state_dict': weights | {'neck.weight': torch.zeros(2)}}, tmp_path / 'detector.pth')
    model = pretrained_vovnet(tmp_path / 'detector.pth', arch=TINY, init=dict(prefix='backbone.'))
    model.init_weights()
    assert (model.stem.stem_1.conv.weight == 0.25).all()


def test_pretrained_weights_leave_deformable_offsets_at_zero_unless_they_have_them(tmp_path):
    weights = weights_of_the_original('V-19-slim-eSE')
    torch.save(weights, tmp_path / 'vovnet.pth')
    kwargs = dict(arch='V-19-slim-eSE', dcn=dict(type='DCNv2'), stage_with_dcn=(False, False, False, True))
    model = pretrained_vovnet(tmp_path / 'vovnet.pth', **kwargs)
    model.init_weights()
    layer = model.stage5.OSA5_1.layers[0][0]
    assert (layer.weight == 0.25).all()
    assert (layer.conv_offset.weight == 0).all()
    model.init_weights()  # mmengine initialises once
    layer.conv_offset.weight.data.fill_(0.5)
    torch.save(model.state_dict(), tmp_path / 'trained.pth')
    trained = pretrained_vovnet(tmp_path / 'trained.pth', **kwargs)
    trained.init_weights()
    assert (trained.stage5.OSA5_1.layers[0][0].conv_offset.weight == 0.5).all()


def test_pretrained_file_that_does_not_fit_is_refused_by_name(tmp_path):
    torch.save(weights_of_the_original('V-19-slim-eSE'), tmp_path / 'slim.pth')
    with pytest.raises(ValueError, match=r"backbone\.init_cfg\.checkpoint .*slim\.pth: .* are missing, first 'stem"):
        pretrained_vovnet(tmp_path / 'slim.pth', arch=TINY).init_weights()
    with pytest.raises(
        FileNotFoundError, match=r'backbone\.init_cfg\.checkpoint: checkpoint .*none\.pth does not exist'
    ):
        pretrained_vovnet(tmp_path / 'none.pth', arch=TINY).init_weights()


def test_pretrained_file_of_a_larger_variant_is_refused(tmp_path):
    # The stem and the first blocks are those of a V-39; the second block of stage 3 is not in it.
    weights = weights_of_the_original('V-39-eSE')
    weights = {k: v for k, v in weights.items() if k.startswith(('stem', 'stage2', 'stage3'))}
    weights |= {k.replace('OSA3_1', 'OSA3_2'): v for k, v in weights.items() if 'OSA3_1' in k}
    torch.save(weights, tmp_path / 'larger.pth')
    with pytest.raises(ValueError, match=r"of the file are not in the model, first 'stage3\.OSA3_2"):
        pretrained_vovnet(tmp_path / 'larger.pth', arch='V-39-eSE', out_indices=(0, 1)).init_weights()
    torch.save({k: v for k, v in weights.items() if not k.startswith('stage3')}, tmp_path / 'smaller.pth')
    pretrained_vovnet(tmp_path / 'smaller.pth', arch='V-39-eSE', out_indices=(0,)).init_weights()


# ------------------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(arch='V-40'), "arch is 'V-40', expected one of 'V-19-slim-dw-eSE'"),
        (dict(arch=TINY, ese_on='first'), "ese_on is 'first', expected one of 'all', 'last'"),
        (dict(arch=TINY, out_indices=(3, 4)), r'out_indices is \(3, 4\), expected .* 0 \(stage2\) to 3'),
        (dict(arch=TINY, out_indices=()), 'out_indices is'),
        (dict(arch=TINY, out_indices=(2, 1)), 'increasing'),
        (dict(arch=TINY, frozen_stages=5), 'frozen_stages is 5, expected -1'),
        (dict(arch='V-19-eSE', stage_with_dcn=(True,) * 4), 'stage_with_dcn needs dcn'),
        (dict(arch='V-19-eSE', stage_with_dcn=(True,), dcn=dict(type='DCN')), 'one value for each of 4 stages'),
        (dict(arch=TINY, stage_with_dcn=(True,) * 4, dcn=dict(type='DCN')), 'layers of V-19-slim-dw-eSE are depthwise'),
    ],
)
def test_wrong_arguments_are_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        VoVNet(**kwargs)
