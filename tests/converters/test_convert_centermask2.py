"""CenterMask2 files of detectron2 fill the models of the shipped configs."""

import numpy as np
import pytest
import torch
from convert_cases import config_of, model_of, numbered_tensors
from helpers.golden import (
    BACKBONE_PREFIX,
    assert_close_to_rms,
    golden_arrays,
    golden_image,
    golden_keys,
    golden_models,
    golden_state_dict,
)
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.apis.convert import build_on_meta
from mmkd.converters import CenterMask2Format, convert_state_dict
from mmkd.models import VoVNet
from mmkd.registry import MODELS

SLIM = 'centermask2-lite-V-19-slim-dw-eSE'


def on_meta(shapes):
    return {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}


def quick_and_slow_models():
    marks = {name: [pytest.mark.slow] for name in golden_models() if 'V-57' in name or 'V-99' in name}
    return [pytest.param(name, marks=marks.get(name, [])) for name in golden_models()]


@pytest.mark.parametrize('model', quick_and_slow_models())
def test_every_model_is_filled_exactly_by_its_original_keys(model):
    target = model_of(config_of(model))
    conversion = convert_state_dict(on_meta(golden_keys(model)), target, CenterMask2Format())
    assert conversion.unused == []
    assert len(conversion.sources) == len(golden_keys(model))
    target.load_state_dict(conversion.tensors, strict=True, assign=True)


@pytest.mark.parametrize('model', [SLIM, 'centermask2-lite-Mv2', 'centermask2-R-50', 'centermask2-V-39-eSE-dcn'])
def test_every_tensor_goes_to_the_place_of_its_own(model):
    places = {
        'backbone.fpn_lateral3.weight': 'neck.lateral_convs.0.conv.weight',
        'backbone.fpn_output5.bias': 'neck.fpn_convs.2.conv.bias',
        'backbone.top_block.p6.weight': 'neck.fpn_convs.3.conv.weight',
        'backbone.top_block.p7.weight': 'neck.fpn_convs.4.conv.weight',
        'proposal_generator.fcos_head.cls_tower.3.weight': 'bbox_head.cls_convs.1.conv.weight',
        'proposal_generator.fcos_head.cls_tower.1.bias': 'bbox_head.cls_convs.0.gn.bias',
        'proposal_generator.fcos_head.bbox_tower.4.weight': 'bbox_head.reg_convs.1.gn.weight',
        'proposal_generator.fcos_head.cls_logits.bias': 'bbox_head.conv_cls.bias',
        'proposal_generator.fcos_head.bbox_pred.weight': 'bbox_head.conv_reg.weight',
        'proposal_generator.fcos_head.ctrness.weight': 'bbox_head.conv_centerness.weight',
        'roi_heads.mask_head.mask_fcn2.weight': 'roi_head.mask_head.convs.1.conv.weight',
        'roi_heads.mask_head.spatialAtt.conv.weight': 'roi_head.mask_head.spatial_attention.conv.weight',
        'roi_heads.mask_head.deconv.weight': 'roi_head.mask_head.upsample.weight',
        'roi_heads.mask_head.predictor.bias': 'roi_head.mask_head.conv_logits.bias',
        'roi_heads.maskiou_head.maskiou_fcn1.weight': 'roi_head.mask_iou_head.convs.0.weight',
        'roi_heads.maskiou_head.maskiou_fc2.bias': 'roi_head.mask_iou_head.fcs.1.bias',
        'roi_heads.maskiou_head.maskiou.weight': 'roi_head.mask_iou_head.fc_mask_iou.weight',
    }
    own = {
        SLIM: {
            'stem.stem_2/pw_norm.running_var': 'stem.stem_2.pw_norm.running_var',
            'stage3.OSA3_1.conv_reduction.OSA3_1_reduction_0/conv.weight': ('stage3.OSA3_1.conv_reduction.conv.weight'),
        },
        'centermask2-lite-Mv2': {
            'features.0.0.weight': 'conv1.conv.weight',
            'features.0.1.running_var': 'conv1.bn.running_var',
            'features.1.conv.0.weight': 'layer1.0.depthwise_conv.conv.weight',
            'features.1.conv.4.bias': 'layer1.0.linear_conv.bn.bias',
            'features.3.conv.0.weight': 'layer2.1.expand_conv.conv.weight',
            'features.10.conv.4.weight': 'layer4.3.depthwise_conv.bn.weight',
            'features.17.conv.6.weight': 'layer7.0.linear_conv.conv.weight',
            'features.13.conv.7.running_mean': 'layer5.2.linear_conv.bn.running_mean',
        },
        'centermask2-R-50': {
            'stem.conv1.weight': 'conv1.weight',
            'stem.conv1.norm.bias': 'bn1.bias',
            'res2.0.shortcut.weight': 'layer1.0.downsample.0.weight',
            'res5.0.shortcut.norm.running_var': 'layer4.0.downsample.1.running_var',
            'res4.5.conv2.norm.weight': 'layer3.5.bn2.weight',
            'res3.1.conv3.weight': 'layer2.1.conv3.weight',
        },
        'centermask2-V-39-eSE-dcn': {
            'stage4.OSA4_2.layers.1.OSA4_2_1/conv_offset.bias': ('stage4.OSA4_2.layers.1.conv.conv_offset.bias'),
            'stage4.OSA4_2.layers.1.OSA4_2_1/conv.weight': 'stage4.OSA4_2.layers.1.conv.weight',
            'stage4.OSA4_2.ese.fc.bias': 'stage4.OSA4_2.ese.fc.bias',
        },
    }[model]
    places |= {BACKBONE_PREFIX + source: f'backbone.{target}' for source, target in own.items()}
    conversion = convert_state_dict(on_meta(golden_keys(model)), model_of(config_of(model)), CenterMask2Format())
    found = {source: target for target, source in conversion.sources.items()}
    assert {source: found[source] for source in places} == places
    assert len(found) == len(conversion.sources)


@pytest.fixture(scope='module')
def slim_file(tmp_path_factory):
    """The golden weights of the smallest model as the original would save them, with what it may hold beside them."""
    path = tmp_path_factory.mktemp('original') / 'model_final.pth'
    weights = golden_state_dict(golden_keys(SLIM))
    weights['pixel_mean'] = torch.zeros(3, 1, 1)
    weights = {f'module.{key}': value for key, value in weights.items()}
    torch.save({'model': weights, 'iteration': 359999}, path)
    return path


@pytest.fixture(scope='module')
def slim_model():
    with DefaultScope.overwrite_default_scope('mmdet'):
        return MODELS.build(Config.fromfile(config_of(SLIM)).model).eval()


def test_converted_detector_gives_the_outputs_of_the_original(slim_file, slim_model, tmp_path, convert):
    out = tmp_path / 'new' / 'slim.pth'
    code, printed, _ = convert('centermask2', slim_file, out, config_of(SLIM))
    assert code == 0
    assert 'used 194 of 195 tensors' in printed
    assert 'not used: pixel_mean' in printed
    checkpoint = torch.load(out, weights_only=True)
    slim_model.load_state_dict(checkpoint['state_dict'], strict=True)
    arrays = golden_arrays('centermask2/B_fpn_fcos_lite-V-19-slim-dw-eSE')
    with torch.no_grad():
        levels = slim_model.extract_feat(golden_image('B', (2, 3, 128, 160)))
        outputs = slim_model.bbox_head(levels)
    for i, level in enumerate(levels):
        assert_close_to_rms(level, arrays[f'p{i + 3}'])
        for name, values, tolerance in zip(('cls', 'reg', 'ctr'), outputs, (5e-4, 2e-4, 1e-4), strict=True):
            np.testing.assert_allclose(values[i].numpy(), arrays[f'{name}_{i}'], rtol=0, atol=tolerance)


def test_counters_of_batch_norms_are_added_so_that_loading_is_strict(slim_file, tmp_path, convert):
    out = tmp_path / 'slim.pth'
    convert('centermask2', slim_file, out, config_of(SLIM))
    counters = {k: v for k, v in torch.load(out)['state_dict'].items() if k.endswith('num_batches_tracked')}
    assert len(counters) > 0
    assert all(value.shape == () and value.dtype == torch.int64 and value == 0 for value in counters.values())


def test_scale_of_each_level_becomes_a_scalar(slim_keys):
    conversion = convert_state_dict(numbered_tensors(slim_keys), model_of(config_of(SLIM)), CenterMask2Format())
    for i in range(5):
        source = list(slim_keys).index(f'proposal_generator.fcos_head.scales.{i}.scale') + 1
        assert conversion.tensors[f'bbox_head.scales.{i}.scale'].shape == ()
        assert conversion.tensors[f'bbox_head.scales.{i}.scale'] == source


def test_numpy_arrays_and_half_precision_are_taken(slim_keys):
    source = {key: np.zeros(shape, np.float16) for key, shape in slim_keys.items()}
    conversion = convert_state_dict(source, model_of(config_of(SLIM)), CenterMask2Format())
    floats = [v for k, v in conversion.tensors.items() if not k.endswith('num_batches_tracked')]
    assert {value.dtype for value in floats} == {torch.float32}


@pytest.mark.parametrize('wrapped', ['bare', 'state_dict', 'model'])
def test_tensors_may_be_wrapped(slim_keys, tmp_path, convert, wrapped):
    weights = {key: torch.zeros(shape) for key, shape in slim_keys.items()}
    torch.save(weights if wrapped == 'bare' else {wrapped: weights}, tmp_path / 'in.pth')
    code, printed, _ = convert('centermask2', tmp_path / 'in.pth', tmp_path / 'out.pth', config_of(SLIM))
    assert code == 0
    assert 'used 194 of 194 tensors' in printed


# ------------------------------------------------------------------------------------------------------ what is wrong


def run_on(tensors, tmp_path, convert, config=None):
    torch.save({'model': tensors}, tmp_path / 'in.pth')
    code, _, error = convert('centermask2', tmp_path / 'in.pth', tmp_path / 'out.pth', config or config_of(SLIM))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in.pth'], 'something was written'
    return code, error


@pytest.mark.parametrize(
    'key', ['roi_heads.mask_head.predictor.bias', 'backbone.bottom_up.stem.stem_1/norm.running_var']
)
def test_a_missing_tensor_fails_and_writes_nothing(slim_keys, tmp_path, convert, key):
    tensors = {k: torch.zeros(shape) for k, shape in slim_keys.items() if k != key}
    code, error = run_on(tensors, tmp_path, convert)
    assert code != 0
    assert '1 of the 194 tensors that the model needs are missing' in error
    assert key.rpartition('.')[2] in error
    assert error.count('\n') == 1


def test_a_missing_tensor_leaves_an_older_result_alone(slim_keys, tmp_path, convert):
    (tmp_path / 'out.pth').write_text('older')
    tensors = {k: torch.zeros(shape) for k, shape in list(slim_keys.items())[:-1]}
    torch.save(tensors, tmp_path / 'in.pth')
    assert convert('centermask2', tmp_path / 'in.pth', tmp_path / 'out.pth', config_of(SLIM))[0] != 0
    assert (tmp_path / 'out.pth').read_text() == 'older'


def test_another_number_of_classes_fails_with_both_shapes(slim_keys, tmp_path, convert):
    shapes = slim_keys | {'roi_heads.mask_head.predictor.weight': [3, 128, 1, 1]}
    code, error = run_on({k: torch.zeros(shape) for k, shape in shapes.items()}, tmp_path, convert)
    assert code != 0
    assert 'roi_heads.mask_head.predictor.weight is [3, 128, 1, 1], expected [80, 128, 1, 1]' in error


def test_file_of_a_larger_variant_is_refused():
    # A V-39 finds all that it needs in a V-99: the same layers, only fewer blocks of them.
    source = on_meta(golden_keys('centermask2-V-99-eSE'))
    with pytest.raises(ValueError, match=r'have no place in the model: .*stage3\.OSA3_2'):
        convert_state_dict(source, model_of(config_of('centermask2-V-39-eSE')), CenterMask2Format())


def test_file_with_deformable_layers_is_refused_by_a_plain_model():
    source = on_meta(golden_keys('centermask2-V-39-eSE-dcn'))
    with pytest.raises(ValueError, match=r'have no place in the model: .*conv_offset'):
        convert_state_dict(source, model_of(config_of('centermask2-V-39-eSE')), CenterMask2Format())


def test_parts_that_the_model_does_not_have_are_named_and_not_used(slim_keys):
    config = Config.fromfile(config_of(SLIM))
    config.model.roi_head.mask_iou_head = None
    conversion = convert_state_dict(on_meta(slim_keys), build_on_meta(config), CenterMask2Format())
    assert len(conversion.unused) == 10
    assert all(name.startswith('roi_heads.maskiou_head') for name in conversion.unused)


def test_two_tensors_for_one_place_are_refused(slim_keys):
    source = on_meta(slim_keys)
    source['stem.stem_1/conv.weight'] = source['backbone.bottom_up.stem.stem_1/conv.weight']
    with pytest.raises(ValueError, match=r'would both become backbone\.stem\.stem_1\.conv\.weight'):
        convert_state_dict(source, model_of(config_of(SLIM)), CenterMask2Format())


def test_a_file_of_something_else_is_refused(tmp_path, convert):
    code, error = run_on({'layer.weight': torch.zeros(3)}, tmp_path, convert)
    assert code != 0
    assert "none of its 1 names is one of centermask2 (detectron2), first 'layer.weight'" in error


def test_a_missing_source_and_a_missing_config_are_named(tmp_path, convert):
    code, _, error = convert('centermask2', tmp_path / 'no.pth', tmp_path / 'out.pth', config_of(SLIM))
    assert code != 0
    assert 'no.pth does not exist' in error
    code, _, error = convert('centermask2', tmp_path / 'no.pth', tmp_path / 'out.pth', 'configs/none.py')
    assert code != 0
    assert 'configs/none.py' in error


# ---------------------------------------------------------------------------------------------------------- backbones


@pytest.mark.parametrize('prefix', ['', 'module.', 'bottom_up.', 'backbone.bottom_up.', 'backbone.body.', 'backbone.'])
def test_backbone_file_gives_the_backbone_alone(slim_keys, tmp_path, convert, prefix):
    weights = golden_state_dict({k: v for k, v in slim_keys.items() if k.startswith(BACKBONE_PREFIX)})
    source = {prefix + key.removeprefix(BACKBONE_PREFIX): value for key, value in weights.items()}
    source['classifier.weight'] = torch.zeros(1000, 512)
    torch.save(source, tmp_path / 'in.pth')
    out = tmp_path / 'backbone.pth'
    code, printed, _ = convert('centermask2', tmp_path / 'in.pth', out, config_of(SLIM))
    assert code == 0
    assert 'backbone only' in printed
    assert 'not used: classifier.weight' in printed
    model = VoVNet('V-19-slim-dw-eSE', init_cfg=dict(type='Pretrained', checkpoint=str(out)))
    model.load_state_dict(torch.load(out)['state_dict'], strict=True)
    model = VoVNet('V-19-slim-dw-eSE', init_cfg=dict(type='Pretrained', checkpoint=str(out)))
    model.init_weights()
    ours, theirs = 'stage5.OSA5_1.concat.conv.weight', 'stage5.OSA5_1.concat.OSA5_1_concat/conv.weight'
    assert torch.equal(model.state_dict()[ours], weights[BACKBONE_PREFIX + theirs])


def test_an_incomplete_backbone_file_fails(slim_keys, tmp_path, convert):
    keys = [k for k in slim_keys if k.startswith(BACKBONE_PREFIX)][:-1]
    code, error = run_on({k: torch.zeros(slim_keys[k]) for k in keys}, tmp_path, convert)
    assert code != 0
    assert '1 of the 132 tensors that the model needs are missing' in error


@pytest.mark.parametrize('converted', [False, True])
def test_mobilenet_backbone_file_initialises_the_shipped_model(tmp_path, convert, converted):
    model = 'centermask2-lite-Mv2'
    weights = golden_state_dict(golden_keys(model, BACKBONE_PREFIX))
    path = tmp_path / 'mobilenet_v2_detectron2.pth'
    torch.save({k.removeprefix(BACKBONE_PREFIX): v for k, v in weights.items()}, path)
    if converted:
        assert convert('centermask2', path, path, config_of(model))[0] == 0
    config = Config.fromfile(config_of(model)).model.backbone
    config.init_cfg.checkpoint = str(path)
    backbone = MODELS.build(config)
    backbone.init_weights()
    for ours, theirs in (
        (backbone.conv1.bn.running_var, 'features.0.1.running_var'),
        (backbone.layer7[0].linear_conv.conv.weight, 'features.17.conv.6.weight'),
    ):
        assert torch.equal(ours, weights[BACKBONE_PREFIX + theirs])
