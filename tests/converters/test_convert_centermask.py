"""Files of the first CenterMask (maskrcnn-benchmark)."""

import re

import pytest
import torch
from convert_cases import CONFIGS, config_of, model_of
from helpers.golden import BACKBONE_PREFIX, golden_keys, golden_state_dict
from mmengine.config import Config

from mmkd.apis.convert import build_on_meta
from mmkd.converters import CenterMaskFormat, convert_state_dict

SLIM = 'centermask2-lite-V-19-slim-dw-eSE'
# Name in centermask2, name in the first CenterMask.
RENAMES = (
    (r'backbone\.bottom_up\.(stem\.conv1)\.norm', r'backbone.body.stem.bn1'),
    (r'backbone\.bottom_up\.res2\.(\d+)\.conv(\d)\.norm', r'backbone.body.layer1.\1.bn\2'),
    (r'backbone\.bottom_up\.(.*)/conv_offset\.', r'backbone.body.\1/conv.offset.'),
    (r'backbone\.bottom_up\.(stage[345].*layers.*)/conv\.weight', r'backbone.body.\1/conv.conv.weight'),
    (r'backbone\.bottom_up\.', 'backbone.body.'),
    (r'backbone\.fpn_lateral3', 'backbone.fpn.fpn_inner2'),
    (r'backbone\.fpn_lateral4', 'backbone.fpn.fpn_inner3'),
    (r'backbone\.fpn_lateral5', 'backbone.fpn.fpn_inner4'),
    (r'backbone\.fpn_output3', 'backbone.fpn.fpn_layer2'),
    (r'backbone\.fpn_output4', 'backbone.fpn.fpn_layer3'),
    (r'backbone\.fpn_output5', 'backbone.fpn.fpn_layer4'),
    (r'backbone\.top_block\.', 'backbone.fpn.top_blocks.'),
    (r'proposal_generator\.fcos_head\.ctrness', 'rpn.head.centerness'),
    (r'proposal_generator\.fcos_head\.', 'rpn.head.'),
    (r'roi_heads\.mask_head\.predictor', 'roi_heads.mask.predictor.mask_fcn_logits'),
    (r'roi_heads\.mask_head\.deconv', 'roi_heads.mask.predictor.conv5_mask'),
    (r'roi_heads\.mask_head\.', 'roi_heads.mask.feature_extractor.'),
    (r'roi_heads\.maskiou_head\.maskiou\.', 'roi_heads.maskiou.predictor.maskiou.'),
    (r'roi_heads\.maskiou_head\.', 'roi_heads.maskiou.feature_extractor.'),
)


def v1_name(name: str, deformable: bool = False) -> str:
    for pattern, replacement in RENAMES:
        if '/conv.conv' in replacement and not deformable:
            continue
        renamed, number = re.subn('^' + pattern, replacement, name)
        if number:
            return renamed
    raise KeyError(name)


def v1_tensors(model: str, tensors: dict) -> dict:
    """The tensors under the older names, with a row for the background first where there was one."""
    renamed = {v1_name(key, model.endswith('-dcn')): value for key, value in tensors.items()}
    for key in renamed:
        if 'mask_fcn_logits' in key or '.predictor.maskiou.' in key:
            background = torch.full_like(renamed[key][:1], 1e3)
            renamed[key] = torch.cat([background, renamed[key]])
    assert len(renamed) == len(tensors)
    return renamed


@pytest.fixture(scope='module')
def weights():
    return golden_state_dict(golden_keys(SLIM))


@pytest.mark.parametrize('model', [SLIM, 'centermask2-lite-Mv2', 'centermask2-V-39-eSE-dcn'])
def test_model_is_filled_exactly_by_the_older_names(model):
    shapes = {key: torch.empty(shape, device='meta') for key, shape in golden_keys(model).items()}
    target = model_of(config_of(model))
    conversion = convert_state_dict(v1_tensors(model, shapes), target, CenterMaskFormat())
    assert conversion.unused == []
    target.load_state_dict(conversion.tensors, strict=True, assign=True)


def test_resnet_has_the_names_of_torchvision_below_the_stem():
    target = model_of(config_of('centermask2-R-50'))
    backbone = {key: value for key, value in target.backbone.state_dict().items() if 'num_batches' not in key}
    source = {
        'backbone.body.' + (f'stem.{key}' if key.startswith(('conv1', 'bn1')) else key): value
        for key, value in backbone.items()
    }
    conversion = convert_state_dict(source, target, CenterMaskFormat())
    assert conversion.backbone_only
    target.backbone.load_state_dict(conversion.tensors, strict=True, assign=True)


def test_rows_of_the_background_are_dropped(weights):
    conversion = convert_state_dict(v1_tensors(SLIM, weights), model_of(config_of(SLIM)), CenterMaskFormat())
    for ours, theirs in (
        ('roi_head.mask_head.conv_logits.weight', 'roi_heads.mask_head.predictor.weight'),
        ('roi_head.mask_head.conv_logits.bias', 'roi_heads.mask_head.predictor.bias'),
        ('roi_head.mask_iou_head.fc_mask_iou.weight', 'roi_heads.maskiou_head.maskiou.weight'),
        ('roi_head.mask_iou_head.fc_mask_iou.bias', 'roi_heads.maskiou_head.maskiou.bias'),
        ('bbox_head.conv_cls.weight', 'proposal_generator.fcos_head.cls_logits.weight'),
    ):
        assert torch.equal(conversion.tensors[ours], weights[theirs])
    assert 'background rows dropped from 4 tensors of the mask heads' in conversion.notes


def test_frozen_norms_keep_their_function_with_the_eps_that_is_added_here(weights):
    name = 'stem.stem_1/norm'
    source = v1_tensors(SLIM, weights)
    tiny = torch.full_like(weights[f'{BACKBONE_PREFIX}{name}.running_var'], 2e-5)  # where eps would matter
    source[f'backbone.body.{name}.running_var'] = tiny
    conversion = convert_state_dict(source, model_of(config_of(SLIM)), CenterMaskFormat())
    norm = torch.nn.BatchNorm2d(64).eval()
    norm.load_state_dict({k.rpartition('.')[2]: v for k, v in conversion.tensors.items() if 'stem_1.norm.' in k})
    x = torch.randn(1, 64, 3, 3)
    w, b, mean = (source[f'backbone.body.{name}.{k}'][:, None, None] for k in ('weight', 'bias', 'running_mean'))
    expected = (x - mean) * w / tiny.sqrt()[:, None, None] + b
    torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-3)


def test_norms_that_were_trained_keep_their_variance(weights):
    source = v1_tensors(SLIM, weights)
    source['backbone.body.stem.stem_1/norm.num_batches_tracked'] = torch.tensor(7)
    conversion = convert_state_dict(source, model_of(config_of(SLIM)), CenterMaskFormat())
    variance = conversion.tensors['backbone.stem.stem_1.norm.running_var']
    assert torch.equal(variance, weights[f'{BACKBONE_PREFIX}stem.stem_1/norm.running_var'])
    assert conversion.tensors['backbone.stem.stem_1.norm.num_batches_tracked'] == 7


def test_older_regression_is_warned_of_unless_the_config_has_it(weights):
    source = v1_tensors(SLIM, weights)
    plain = convert_state_dict(source, model_of(config_of(SLIM)), CenterMaskFormat())
    assert any("bbox_reg='exp_pixel'" in note for note in plain.notes)
    config = Config.fromfile(config_of(SLIM))
    older = Config.fromfile(CONFIGS / 'centermask1_v39_fpn_ms-3x_coco.py').model.bbox_head
    config.model.bbox_head.update({key: older[key] for key in ('bbox_reg', 'sqrt_score')})
    told = convert_state_dict(source, build_on_meta(config), CenterMaskFormat())
    assert not any('exp_pixel' in note or 'sqrt_score' in note for note in told.notes)


def test_tool_reports_and_writes(weights, tmp_path, convert):
    torch.save({'model': {f'module.{k}': v for k, v in v1_tensors(SLIM, weights).items()}}, tmp_path / 'in.pth')
    code, printed, _ = convert('centermask', tmp_path / 'in.pth', tmp_path / 'out.pth', config_of(SLIM))
    assert code == 0
    assert 'used 194 of 194 tensors' in printed
    assert 'WARNING: the first CenterMask regresses exp(scale * x) pixels' in printed
    assert torch.load(tmp_path / 'out.pth')['meta']['converted_from'] == 'CenterMask (maskrcnn-benchmark)'


def test_tool_fails_on_a_missing_tensor_and_writes_nothing(weights, tmp_path, convert):
    source = v1_tensors(SLIM, weights)
    del source['rpn.head.centerness.bias']
    torch.save({'model': source}, tmp_path / 'in.pth')
    code, _, error = convert('centermask', tmp_path / 'in.pth', tmp_path / 'out.pth', config_of(SLIM))
    assert code != 0
    assert 'bbox_head.conv_centerness.bias' in error
    assert not (tmp_path / 'out.pth').exists()
