"""ImageNet files of MobileNetV2 under torchvision's names."""

import pytest
import torch
from convert_cases import ROOT, model_of
from helpers.norms import randomize_norms
from mmengine.config import Config
from torch import nn

from mmkd.converters import MobileNetV2Format, convert_state_dict
from mmkd.models import DilatedMobileNetV2, MobileNetV2

PSPNET = ROOT / 'configs' / 'pspnet' / 'pspnet_mobilenetv2_40k_camvid-480x360.py'
CENTERMASK = ROOT / 'configs' / 'centermask' / 'centermask-lite_mobilenetv2_fpn_ms-4x_coco.py'


def conv_norm_act(inputs, outputs, size, stride=1, groups=1):
    conv = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


# expansion, channels, blocks, stride of each stage: table 2 of the paper
TABLE = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        expand = [conv_norm_act(inputs, wide, 1)] if expansion > 1 else []
        depthwise = conv_norm_act(wide, wide, 3, stride, groups=wide)
        self.conv = nn.Sequential(*expand, depthwise, nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.is_residual else self.conv(x)


class Reference(nn.Module):
    """MobileNetV2 (Sandler et al., 2018) under torchvision's names."""

    ends = (3, 6, 13, 17)  # the last blocks at strides 4, 8, 16 and 32

    def __init__(self):
        super().__init__()
        features, inputs = [conv_norm_act(3, 32, 3, 2)], 32
        for expansion, outputs, number, stride in TABLE:
            for i in range(number):
                features.append(Block(inputs, outputs, stride if i == 0 else 1, expansion))
                inputs = outputs
        self.features = nn.Sequential(*features, conv_norm_act(320, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x):
        outs = []
        for i, layer in enumerate(self.features[:18]):
            x = layer(x)
            if i in self.ends:
                outs.append(x)
        return outs


@pytest.fixture(scope='module')
def reference():
    torch.manual_seed(0)
    model = Reference().eval()
    randomize_norms(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


def test_the_names_are_torchvisions(reference):
    """Some of them, and their number, from the published file."""
    names = reference.state_dict()
    assert len(names) == 314
    assert {'features.0.1.running_var', 'features.1.conv.1.weight', 'features.17.conv.3.bias'} <= set(names)
    assert names['features.2.conv.0.0.weight'].shape == (96, 16, 1, 1)
    assert names['features.18.0.weight'].shape == (1280, 320, 1, 1)


@pytest.mark.parametrize(
    'config, build, steps',
    [
        (PSPNET, lambda: DilatedMobileNetV2(out_indices=(1, 2, 4, 6)), (1, 1, 2, 4)),
        (CENTERMASK, lambda: MobileNetV2(out_indices=(1, 2, 4, 6)), (1, 1, 1, 1)),
    ],
    ids=['mmseg names', 'mmdet names'],
)
def test_the_converted_backbone_computes_the_same(reference, config, build, steps):
    half = {key: value.half() if value.is_floating_point() else value for key, value in reference.state_dict().items()}
    conversion = convert_state_dict(half, model_of(config), MobileNetV2Format())
    assert conversion.backbone_only
    assert {name.split('.')[0] for name in conversion.unused} == {'classifier', 'features'}
    assert all('features.18.' in name or 'classifier' in name for name in conversion.unused)
    backbone = build()
    backbone.load_state_dict(conversion.tensors, strict=True)
    backbone.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        rounded = Reference().eval()
        rounded.load_state_dict({k: v.float() for k, v in half.items()})
        for ours, theirs, step in zip(backbone(image), rounded(image), steps, strict=True):
            ours = ours[..., ::step, ::step]
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.std()))


@pytest.mark.parametrize('is_rgb', [True, False])
def test_another_normalisation_is_folded_into_the_first_layer(reference, is_rgb):
    """Weights trained on (u - 127.5) / 127.5 see u through the config's own mean and deviation."""
    cfg = Config.fromfile(PSPNET)
    preprocessor = cfg.model.data_preprocessor
    preprocessor.update(mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], bgr_to_rgb=is_rgb)
    conversion = convert_state_dict(reference.state_dict(), model_of(PSPNET), MobileNetV2Format())
    MobileNetV2Format([127.5] * 3, [127.5] * 3).adapt_to_images(conversion, preprocessor)
    assert any('normalisation folded' in note for note in conversion.notes)
    backbone = DilatedMobileNetV2()
    backbone.load_state_dict(conversion.tensors, strict=True)
    backbone.eval()
    rgb = torch.randint(0, 256, (1, 3, 32, 32)).float()
    seen = rgb if is_rgb else rgb.flip(1)
    mean, std = (torch.tensor(preprocessor[key]).view(1, 3, 1, 1) for key in ('mean', 'std'))
    with torch.no_grad():
        ours = backbone.conv1((seen - mean) / std)
        theirs = reference.features[0]((rgb - 127.5) / 127.5)
    inside = (..., slice(1, None), slice(1, None))  # zero padding stands for another grey than it did
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=1e-4, atol=1e-4)


def test_the_same_normalisation_changes_nothing(reference):
    conversion = convert_state_dict(reference.state_dict(), model_of(PSPNET), MobileNetV2Format())
    before = {key: value.clone() for key, value in conversion.tensors.items()}
    MobileNetV2Format().adapt_to_images(conversion, Config.fromfile(PSPNET).model.data_preprocessor)
    assert all(torch.equal(value, before[key]) for key, value in conversion.tensors.items())


def test_a_file_of_another_width_is_refused(reference):
    source = {key: value[:8] if value.ndim == 1 else value for key, value in reference.state_dict().items()}
    with pytest.raises(ValueError, match='have another shape: features.0.1.weight'):
        convert_state_dict(source, model_of(PSPNET), MobileNetV2Format())


def test_the_command_folds_what_its_options_say(convert, reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / 'src.pth')
    options = ['--mean', '127.5', '127.5', '127.5', '--std', '127.5', '127.5', '127.5']
    out = tmp_path / 'out.pth'
    code, printed, err = convert('mobilenetv2', tmp_path / 'src.pth', out, PSPNET, *options)
    assert code == 0, err
    assert 'backbone only' in printed and 'normalisation folded into conv1.conv.weight' in printed
    backbone = DilatedMobileNetV2()
    backbone.load_state_dict(torch.load(out, weights_only=True)['state_dict'], strict=True)
