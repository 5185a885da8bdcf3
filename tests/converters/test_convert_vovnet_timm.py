"""VoVNets of timm, whose names, gates and input differ."""

import re

import pytest
import torch
from convert_cases import CONFIGS, config_of, model_of
from mmengine.config import Config

from mmkd.apis.convert import build_on_meta
from mmkd.converters import Conversion, VoVNetTimmFormat, convert_state_dict
from mmkd.models import VoVNet

V39 = config_of('centermask2-V-39-eSE')


def timm_name(name: str) -> str:
    """The name in timm of a tensor of VoVNet."""
    stem = re.fullmatch(r'stem\.stem_(\d)\.(.*)', name)
    if stem:
        name = f'stem.{int(stem[1]) - 1}.{stem[2]}'
    else:
        stage, block, rest = re.fullmatch(r'stage(\d)\.OSA\d_(\d+)\.(.*)', name).groups()
        rest = rest.replace('layers.', 'conv_mid.').replace('concat.', 'conv_concat.').replace('ese.fc', 'attn.fc')
        name = f'stages.{int(stage) - 2}.blocks.{int(block) - 1}.{rest}'
    name = name.replace('pw_norm.', 'bn.').replace('norm.', 'bn.')
    return name.replace('dw_conv3x3', 'conv_dw').replace('pw_conv1x1', 'conv_pw')


def timm_tensors(arch, fill=None, **kwargs):
    with torch.device('meta' if fill is None else 'cpu'):
        model = VoVNet(arch, ese_on='last')
    tensors = {timm_name(k): v for k, v in model.state_dict().items()}
    return tensors | {'head.fc.weight': torch.zeros(1000, 4), 'head.fc.bias': torch.zeros(1000)}


def test_names_of_the_published_files():
    names = timm_tensors('V-39-eSE')
    for name in (
        'stem.0.conv.weight',
        'stem.2.bn.running_var',
        'stages.0.blocks.0.conv_mid.4.conv.weight',
        'stages.2.blocks.1.conv_concat.bn.weight',
        'stages.3.blocks.1.attn.fc.bias',
    ):
        assert name in names
    assert 'stages.2.blocks.0.attn.fc.weight' not in names
    names = timm_tensors('V-19-dw-eSE')
    for name in (
        'stem.1.conv_dw.weight',
        'stem.1.bn.weight',
        'stages.0.blocks.0.conv_reduction.conv.weight',
        'stages.1.blocks.0.conv_mid.0.conv_pw.weight',
        'stages.1.blocks.0.conv_mid.0.bn.bias',
    ):
        assert name in names


@pytest.mark.parametrize('arch', ['V-19-slim-dw-eSE', 'V-19-dw-eSE', 'V-19-slim-eSE', 'V-19-eSE', 'V-39-eSE'])
def test_backbone_is_filled_exactly(arch):
    target = model_of(V39 if arch == 'V-39-eSE' else config_of(f'centermask2-lite-{arch}'))
    conversion = convert_state_dict(timm_tensors(arch), target, VoVNetTimmFormat())
    assert conversion.backbone_only
    assert conversion.unused == ['head.fc.weight', 'head.fc.bias']
    target.backbone.load_state_dict(conversion.tensors, strict=True, assign=True)


def test_gates_that_timm_does_not_have_are_open():
    conversion = convert_state_dict(timm_tensors('V-39-eSE'), model_of(V39), VoVNetTimmFormat())
    for block in ('stage4.OSA4_1', 'stage5.OSA5_1'):
        assert (conversion.tensors[f'{block}.ese.fc.weight'] == 0).all()
        assert (conversion.tensors[f'{block}.ese.fc.bias'] == 3).all()
    assert conversion.tensors['stage4.OSA4_2.ese.fc.weight'].device.type == 'meta'  # as it came
    assert any(note.startswith('2 gates that timm does not have were set to 1') for note in conversion.notes)


def test_open_gates_give_the_outputs_of_a_network_without_them():
    torch.manual_seed(0)
    last = VoVNet('V-39-eSE', ese_on='last')
    last.init_weights()
    source = {timm_name(k): v for k, v in last.state_dict().items()}
    conversion = convert_state_dict(source, model_of(V39), VoVNetTimmFormat())
    everywhere = VoVNet('V-39-eSE')
    everywhere.load_state_dict(conversion.tensors, strict=True)
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for a, b in zip(last.eval()(x), everywhere.eval()(x), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-6, atol=1e-6)


def test_no_gate_is_added_where_the_config_wants_none():
    config = Config.fromfile(V39)
    config.model.backbone.ese_on = 'last'
    target = build_on_meta(config)
    conversion = convert_state_dict(timm_tensors('V-39-eSE'), target, VoVNetTimmFormat())
    assert conversion.notes == []
    target.backbone.load_state_dict(conversion.tensors, strict=True, assign=True)


def test_a_missing_gate_of_a_last_block_is_not_made_up():
    # eca_vovnet39b has another gate there.
    source = timm_tensors('V-39-eSE')
    del source['stages.2.blocks.1.attn.fc.weight'], source['stages.2.blocks.1.attn.fc.bias']
    with pytest.raises(ValueError, match=r'missing: stage4\.OSA4_2\.ese\.fc\.weight'):
        convert_state_dict(source, model_of(V39), VoVNetTimmFormat())


def first_convolution(weight, x):
    return torch.nn.functional.conv2d(x, weight, stride=2, padding=1)


@pytest.mark.parametrize(
    'preprocessor',
    [
        dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
        dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False),
        dict(mean=[123.675, 116.28, 103.53], std=[2.0, 3.0, 4.0], bgr_to_rgb=True),
    ],
)
def test_folded_weights_see_the_configs_images_as_timm_saw_its_own(preprocessor):
    weight = torch.randn(8, 3, 3, 3)
    conversion = Conversion({'stem.stem_1.conv.weight': weight}, backbone_only=True)
    VoVNetTimmFormat(fold_normalization=True).adapt_to_images(conversion, preprocessor)
    rgb = torch.rand(1, 3, 9, 9) * 255
    as_timm = rgb / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    as_timm = as_timm / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    image = rgb if preprocessor['bgr_to_rgb'] else rgb.flip(1)
    image = image - torch.tensor(preprocessor['mean'])[:, None, None]
    image = image / torch.tensor(preprocessor['std'])[:, None, None]
    folded = conversion.tensors['stem.stem_1.conv.weight']
    torch.testing.assert_close(
        first_convolution(folded, image), first_convolution(weight, as_timm), rtol=1e-4, atol=1e-4
    )


def test_another_mean_cannot_be_folded():
    conversion = Conversion({'stem.stem_1.conv.weight': torch.zeros(1, 3, 3, 3)}, backbone_only=True)
    with pytest.raises(ValueError, match='another mean cannot be folded'):
        VoVNetTimmFormat(fold_normalization=True).adapt_to_images(conversion, dict(mean=[0.0] * 3, std=[1.0] * 3))


@pytest.mark.parametrize('fold', [False, True])
def test_tool_folds_or_warns(tmp_path, convert, fold):
    source = timm_tensors('V-19-slim-dw-eSE', fill='cpu')
    torch.save(source, tmp_path / 'in.pth')
    config = CONFIGS / 'centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py'
    options = ['--fold-normalization'] if fold else []
    code, printed, _ = convert('vovnet-timm', tmp_path / 'in.pth', tmp_path / 'out.pth', config, *options)
    assert code == 0
    assert 'not used: head.fc.weight, head.fc.bias' in printed
    assert ('normalisation folded into stem.stem_1.conv.weight' in printed) == fold
    assert ('WARNING: timm trained on RGB images' in printed) != fold
    written = torch.load(tmp_path / 'out.pth')['state_dict']['stem.stem_1.conv.weight']
    assert torch.equal(written, source['stem.0.conv.weight']) != fold


def test_tool_fails_on_a_missing_tensor_and_writes_nothing(tmp_path, convert):
    source = timm_tensors('V-19-slim-dw-eSE', fill='cpu')
    del source['stages.1.blocks.0.conv_concat.bn.bias']
    torch.save(source, tmp_path / 'in.pth')
    config = CONFIGS / 'centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py'
    code, _, error = convert('vovnet-timm', tmp_path / 'in.pth', tmp_path / 'out.pth', config)
    assert code != 0
    assert 'stage3.OSA3_1.concat.norm.bias' in error
    assert not (tmp_path / 'out.pth').exists()
