"""The PSPNets of structured knowledge distillation: forward equality with a network written under their names."""

import pytest
import torch
import torch.nn.functional as F
from convert_cases import ROOT, model_of, numbered_tensors
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.converters import SKDPSPNetFormat, convert_state_dict
from mmkd.registry import MODELS

CONFIGS = ROOT / 'configs' / 'pspnet'
STUDENT = CONFIGS / 'pspnet_r18_40k_cityscapes-512x512.py'
TEACHER = CONFIGS / 'pspnet_r101_40k_cityscapes-512x512.py'
CLASSES = 5


class ABN(nn.BatchNorm2d):
    """In-place activated batch norm, in evaluation: the scale is |weight| + eps."""

    def __init__(self, channels, slope=1.0):
        super().__init__(channels)
        self.slope = slope

    def forward(self, x):
        scale = self.weight.abs() + self.eps
        out = F.batch_norm(x, self.running_mean, self.running_var, scale, self.bias, False, 0.0, self.eps)
        return F.leaky_relu(out, self.slope)


def conv3(inputs, outputs, stride=1, dilation=1, bias=False):
    return nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=bias)


class Basic(nn.Module):
    expansion = 1

    def __init__(self, inputs, width, stride, dilation, downsample):
        super().__init__()
        self.conv1, self.bn1 = conv3(inputs, width, stride, dilation), ABN(width)
        self.conv2, self.bn2 = conv3(width, width, 1, dilation), ABN(width)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (out + (self.downsample(x) if self.downsample else x)).relu()


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, width, stride, dilation, downsample):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), ABN(width)
        self.conv2, self.bn2 = conv3(width, width, stride, dilation), ABN(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), ABN(4 * width)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn1(self.conv1(x)).relu()
        out = self.bn3(self.conv3(self.bn2(self.conv2(out)).relu()))
        return (out + (self.downsample(x) if self.downsample else x)).relu()


class Pyramid(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), nn.Conv2d(inputs, outputs, 1, bias=False), ABN(outputs, 0.01))
            for size in (1, 2, 3, 6)
        )
        self.bottleneck = nn.Sequential(conv3(inputs + 4 * outputs, outputs), ABN(outputs, 0.01), nn.Dropout2d(0.1))

    def forward(self, x):
        pooled = [F.interpolate(stage(x), x.shape[2:], mode='bilinear', align_corners=True) for stage in self.stages]
        return self.bottleneck(torch.cat([*pooled, x], 1))


class Reference(nn.Module):
    """The original network under its own names; as a teacher's file, pyramid and classifier are one sequence."""

    def __init__(self, block, depths, width, psp, aux, is_teacher, classes=CLASSES):
        super().__init__()
        stem = 2 * width
        self.conv1, self.bn1 = conv3(3, stem // 2, 2), ABN(stem // 2)
        self.conv2, self.bn2 = conv3(stem // 2, stem // 2), ABN(stem // 2)
        self.conv3, self.bn3 = conv3(stem // 2, stem), ABN(stem)
        inputs = stem
        for i, (depth, stride, dilation) in enumerate(zip(depths, (1, 2, 1, 1), (1, 1, 2, 4), strict=True)):
            blocks, planes = [], width * 2**i
            for j in range(depth):
                outputs, step = planes * block.expansion, stride if j == 0 else 1
                downsample = None
                if step != 1 or inputs != outputs:
                    downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, step, bias=False), ABN(outputs))
                blocks.append(block(inputs, planes, step, dilation, downsample))
                inputs = outputs
            self.add_module(f'layer{i + 1}', nn.Sequential(*blocks))
        classifier = nn.Conv2d(psp, classes, 1)
        if is_teacher:
            self.head = nn.Sequential(Pyramid(inputs, psp), classifier)
        else:
            self.pspmodule, self.head = Pyramid(inputs, psp), classifier
        self.dsn = nn.Sequential(
            conv3(inputs // 2, aux, bias=True), ABN(aux, 0.01), nn.Dropout2d(0.1), nn.Conv2d(aux, classes, 1)
        )
        self.is_teacher = is_teacher

    def forward(self, x):
        for i in (1, 2, 3):
            x = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(x)).relu()
        x = F.max_pool2d(x, 3, 2, 1, ceil_mode=True)
        x3 = self.layer3(self.layer2(self.layer1(x)))
        x4 = self.layer4(x3)
        main = self.head(x4) if self.is_teacher else self.head(self.pspmodule(x4))
        return main, self.dsn(x3)


def published_student():
    """Names and shapes of the file of the ResNet-18 student."""
    with torch.device('meta'):
        reference = Reference(Basic, (2, 2, 2, 2), 64, 128, 128, is_teacher=False, classes=19)
    return {key: tuple(value.shape) for key, value in reference.state_dict().items()}


CASES = {
    'student': (STUDENT, Basic, (2, 2, 2, 2), False),
    'teacher': (TEACHER, Bottleneck, (3, 4, 23, 3), True),
}


def reduced(config, expansion, **backbone):
    """The shipped config's model with 4 channels where there are 64."""
    model = Config.fromfile(config).model
    model.backbone.update(init_cfg=None, base_channels=4, stem_channels=8, **backbone)
    model.decode_head.update(in_channels=32 * expansion, channels=6, num_classes=CLASSES)
    model.auxiliary_head.update(in_channels=16 * expansion, channels=7, num_classes=CLASSES)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(model)


@pytest.fixture(params=CASES)
def pair(request):
    """The reference with random weights, of both signs, and the reduced model of the shipped config."""
    config, block, depths, is_teacher = CASES[request.param]
    torch.manual_seed(0)
    reference = Reference(block, depths, 4, 6, 7, is_teacher).eval()
    for module in reference.modules():
        if isinstance(module, ABN):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return reference, reduced(config, block.expansion)


def logits(model, image):
    model.eval()
    features = model.extract_feat(image)
    return model.decode_head(features), model.auxiliary_head(features)


def test_the_converted_network_computes_the_same(pair):
    reference, model = pair
    prefix = 'module.' if reference.is_teacher else 'student.'
    source = {prefix + key: value for key, value in reference.state_dict().items()}
    conversion = convert_state_dict({**source, 'fc.weight': torch.zeros(1000, 4)}, model, SKDPSPNetFormat())
    assert conversion.unused == ['fc.weight']
    assert not any('WARNING' in note for note in conversion.notes)
    model.load_state_dict(conversion.tensors, strict=True)
    image = torch.randn(1, 3, 64, 80)
    with torch.no_grad():
        for ours, theirs in zip(logits(model, image), reference(image), strict=True):
            assert ours.shape[2:] == (9, 11), '64 and 80 are rounded up to 17 and 21, then to 9 and 11'
            assert theirs.std() > 0.1
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.std()))


def test_the_bias_before_the_auxiliary_norm_moves_its_mean(pair):
    reference, model = pair
    conversion = convert_state_dict(reference.state_dict(), model, SKDPSPNetFormat())
    mean = conversion.tensors['auxiliary_head.convs.0.bn.running_mean']
    torch.testing.assert_close(mean, reference.dsn[1].running_mean - reference.dsn[0].bias)


def test_scales_are_positive_unless_norms_are_plain(pair):
    reference, model = pair
    weight = reference.layer2[0].bn1.weight
    assert (weight < 0).any()
    key = 'backbone.layer2.0.bn1.weight'
    converted = convert_state_dict(reference.state_dict(), model, SKDPSPNetFormat()).tensors[key]
    torch.testing.assert_close(converted, weight.abs() + 1e-5)
    plain = convert_state_dict(reference.state_dict(), model, SKDPSPNetFormat(plain_norm=True)).tensors[key]
    torch.testing.assert_close(plain, weight)


def test_an_imagenet_file_fills_the_backbone_alone(pair):
    reference, model = pair
    parts = ('pspmodule', 'head', 'dsn')
    source = {key: value for key, value in reference.state_dict().items() if not key.startswith(parts)}
    conversion = convert_state_dict(source, model, SKDPSPNetFormat(plain_norm=True))
    assert conversion.backbone_only
    model.backbone.load_state_dict(conversion.tensors, strict=True)


@pytest.mark.parametrize(
    'change, named',
    [
        (dict(ceil_mode=False), 'backbone.ceil_mode=True'),
        (dict(type='mmseg.ResNetV1c', ceil_mode=None), 'layer3 with dilation 2'),
        (dict(contract_dilation=True), 'layer4 with dilation 4'),
    ],
)
def test_a_config_that_computes_something_else_is_warned_of(change, named):
    config = Config.fromfile(STUDENT).model
    backbone = {**config.backbone, 'init_cfg': None, **change}
    config.backbone = {key: value for key, value in backbone.items() if value is not None}
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        if change.get('type'):
            config.backbone.update(stem_channels=128)
        model = MODELS.build(config)
    source = numbered_tensors(published_student())
    (warning,) = [note for note in convert_state_dict(source, model, SKDPSPNetFormat()).notes if 'WARNING' in note]
    assert named in warning


def test_the_command_writes_a_student_that_loads_strictly(convert, tmp_path):
    names = published_student()
    torch.save(numbered_tensors(names), tmp_path / 'src.pth')
    code, out, err = convert('skd-pspnet', tmp_path / 'src.pth', tmp_path / 'out.pth', STUDENT)
    assert code == 0, err
    assert f'used {len(names)} of {len(names)} tensors' in out
    written = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert list(written) == list(model_of(STUDENT).state_dict())
