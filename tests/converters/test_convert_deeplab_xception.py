"""DeepLabV3+ of pytorch-deeplab-xception: forward equality with networks written under their names."""

import pytest
import torch
import torch.nn.functional as F
from convert_cases import ROOT, model_of, numbered_tensors
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.converters import DeepLabXceptionFormat, convert_state_dict
from mmkd.registry import MODELS

CONFIGS = ROOT / 'configs' / 'deeplabv3plus'
CONFIG = {n: CONFIGS / f'deeplabv3plus_{n}_120e_voc2012-513x513.py' for n in ('r101', 'r18', 'mobilenetv2')}
CLASSES = 5
WIDTH = 4  # channels of the head, a 64th


def conv(inputs, outputs, size=1, stride=1, dilation=1, padding=None, **options):
    padding = dilation * (size // 2) if padding is None else padding
    return nn.Conv2d(inputs, outputs, size, stride, padding, dilation, bias=False, **options)


class Residual(nn.Module):
    """A block that leaves its ReLU to the next: the stage gives what comes before it."""

    def __init__(self, inputs, width, stride, dilation, bottleneck, downsample):
        super().__init__()
        if bottleneck:
            shapes = [(inputs, width, 1, 1, 1), (width, width, 3, stride, dilation), (width, 4 * width, 1, 1, 1)]
        else:
            shapes = [(inputs, width, 3, stride, dilation), (width, width, 3, 1, dilation)]
        self.depth = len(shapes)
        for i, shape in enumerate(shapes, start=1):
            self.add_module(f'conv{i}', conv(*shape))
            self.add_module(f'bn{i}', nn.BatchNorm2d(shape[1]))
        self.downsample = downsample

    def forward(self, x):
        x = x.relu()
        out = x
        for i in range(1, self.depth + 1):
            out = getattr(self, f'bn{i}')(getattr(self, f'conv{i}')(out))
            out = out.relu() if i < self.depth else out
        return out + (self.downsample(x) if self.downsample else x)


class ResNet(nn.Module):
    def __init__(self, depths, bottleneck, grid, base=4):
        super().__init__()
        self.conv1, self.bn1 = conv(3, base, 7, 2), nn.BatchNorm2d(base)
        inputs = base
        for i, (depth, stride) in enumerate(zip(depths, (1, 2, 2, 1), strict=True)):
            blocks, width = [], base * 2**i
            outputs = width * (4 if bottleneck else 1)
            for j in range(depth):
                step = stride if j == 0 else 1
                change = None
                if step != 1 or inputs != outputs:
                    change = nn.Sequential(conv(inputs, outputs, 1, step), nn.BatchNorm2d(outputs))
                blocks.append(Residual(inputs, width, step, grid[j] if i == 3 else 1, bottleneck, change))
                inputs = outputs
            self.add_module(f'layer{i + 1}', nn.Sequential(*blocks))

    def forward(self, x):
        low = self.layer1(F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, 2, 1))
        return self.layer4(self.layer3(self.layer2(low))).relu(), low.relu()


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, dilation, expansion):
        super().__init__()
        hidden = inputs * expansion
        layers = [conv(inputs, hidden), nn.BatchNorm2d(hidden), nn.ReLU6()] if expansion > 1 else []
        layers += [conv(hidden, hidden, 3, stride, dilation, 0, groups=hidden), nn.BatchNorm2d(hidden), nn.ReLU6()]
        self.conv = nn.Sequential(*layers, conv(hidden, outputs), nn.BatchNorm2d(outputs))
        self.dilation, self.residual = dilation, stride == 1 and inputs == outputs

    def forward(self, x):
        out = self.conv(F.pad(x, [self.dilation] * 4))
        return x + out if self.residual else out


class MobileNetV2(nn.Module):
    def __init__(self):
        super().__init__()
        settings = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1))
        layers, inputs = [nn.Sequential(conv(3, 32, 3, 2), nn.BatchNorm2d(32), nn.ReLU6())], 32
        for expansion, outputs, number, stride in (*settings, (6, 320, 1, 1)):
            for i in range(number):
                dilation = 2 if outputs == 320 else 1
                layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, dilation, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.low_level_features = self.features[:4]  # the same tensors under a second name
        self.high_level_features = self.features[4:]

    def forward(self, x):
        low = self.low_level_features(x)
        return self.high_level_features(low), low


class Branch(nn.Module):
    def __init__(self, inputs, size, dilation):
        super().__init__()
        self.atrous_conv = conv(inputs, WIDTH, size, dilation=dilation)
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        return self.bn(self.atrous_conv(x)).relu()


class ASPP(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.aspp1 = Branch(inputs, 1, 1)
        for i, dilation in enumerate((6, 12, 18), start=2):
            self.add_module(f'aspp{i}', Branch(inputs, 3, dilation))
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), conv(inputs, WIDTH), nn.BatchNorm2d(WIDTH), nn.ReLU()
        )
        self.conv1, self.bn1 = conv(5 * WIDTH, WIDTH), nn.BatchNorm2d(WIDTH)

    def forward(self, x):
        pooled = F.interpolate(self.global_avg_pool(x), x.shape[2:], mode='bilinear', align_corners=True)
        return self.bn1(self.conv1(torch.cat([self.aspp1(x), self.aspp2(x), self.aspp3(x), self.aspp4(x), pooled], 1)))


class Decoder(nn.Module):
    def __init__(self, low):
        super().__init__()
        self.conv1, self.bn1 = conv(low, 48), nn.BatchNorm2d(48)
        self.last_conv = nn.Sequential(
            conv(WIDTH + 48, WIDTH, 3),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Dropout(0.5),
            conv(WIDTH, WIDTH, 3),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Conv2d(WIDTH, CLASSES, 1),
        )

    def forward(self, x, low):
        low = self.bn1(self.conv1(low)).relu()
        x = F.interpolate(x, low.shape[2:], mode='bilinear', align_corners=True)
        return self.last_conv(torch.cat([x, low], 1))


class Reference(nn.Module):
    """The original network under its own names."""

    def __init__(self, network):
        super().__init__()
        self.backbone, deep, low = {
            'r101': lambda: (ResNet((3, 4, 23, 3), True, (2, 4, 8)), 128, 16),
            'r18': lambda: (ResNet((2, 2, 2, 2), False, (2, 2)), 32, 4),
            'mobilenetv2': lambda: (MobileNetV2(), 320, 24),
        }[network]()
        self.aspp, self.decoder = ASPP(deep), Decoder(low)

    def forward(self, x):
        size = x.shape[2:]
        deep, low = self.backbone(x)
        x = self.decoder(self.aspp(deep).relu(), low)
        return F.interpolate(x, size, mode='bilinear', align_corners=True)


def ours(network, **backbone):
    """The shipped config's network, as narrow as the reference."""
    model = Config.fromfile(CONFIG[network]).model
    model.backbone.update(init_cfg=None, **backbone)
    model.decode_head.update(channels=WIDTH, num_classes=CLASSES)
    if 'depth' in model.backbone:
        model.backbone.update(base_channels=4, stem_channels=4)
        expansion = 4 if network == 'r101' else 1
        model.decode_head.update(in_channels=32 * expansion, c1_in_channels=4 * expansion)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(model)


def reference(network):
    torch.manual_seed(0)
    model = Reference(network).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model


@pytest.mark.parametrize('network', [pytest.param('r101', marks=pytest.mark.slow), 'r18', 'mobilenetv2'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_the_converted_network_computes_the_same(network, prefix):
    theirs = reference(network)
    model = ours(network, **(PADDED if network == 'mobilenetv2' else {}))
    source = {prefix + key: value for key, value in theirs.state_dict().items()}
    conversion = convert_state_dict(source, model, DeepLabXceptionFormat())
    assert all('_level_features.' in key for key in conversion.unused)
    assert not any('WARNING' in note for note in conversion.notes)
    model.load_state_dict(conversion.tensors, strict=True)
    model.eval()
    image = torch.randn(1, 3, 97, 129)
    with torch.no_grad():
        expected = theirs(image)
        out = F.interpolate(model(image), image.shape[2:], mode='bilinear', align_corners=True)
    assert expected.std() > 0.1
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


PADDED = dict(type='mmkd.BlockPaddedMobileNetV2')


@pytest.mark.parametrize(
    'network, change, named',
    [
        ('r101', dict(multi_grid=None), 'layer4 with the dilations [2, 4, 8], here [2, 2, 2]'),
        ('r18', dict(type='ResNet', ceil_mode=None), '[2, 2, 2, 2], here [2, 1, 2, 1]'),
        ('mobilenetv2', {}, 'BlockPaddedMobileNetV2'),
        ('mobilenetv2', dict(PADDED, dilations=(1,) * 7), 'dilations=(1, 1, 1, 1, 1, 1, 2)'),
    ],
)
def test_a_config_that_computes_something_else_is_warned_of(network, change, named):
    with torch.device('meta'):
        config = Config.fromfile(CONFIG[network])
        backbone = {**config.model.backbone, **change, 'init_cfg': None}
        config.model.backbone = {k: v for k, v in backbone.items() if v is not None}
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = MODELS.build(config.model)
    source = numbered_tensors(names_and_shapes(network))
    (warning,) = [
        note for note in convert_state_dict(source, model, DeepLabXceptionFormat()).notes if 'WARNING' in note
    ]
    assert named in warning


def names_and_shapes(network):
    """Names of the reference with the shapes of the full network, found by the converter's own way back."""
    full = model_of(CONFIG[network]).state_dict()
    names = {}
    for key in reference(network).state_dict():
        target = DeepLabXceptionFormat().rename(key, {})
        if target is not None:
            names[key] = tuple(full[target].shape)
    assert len(names) == len(full)
    return names


def test_the_command_writes_a_student_that_loads_strictly(convert, tmp_path):
    names = names_and_shapes('r18')
    torch.save(dict(state_dict=numbered_tensors(names), epoch=3), tmp_path / 'src.pth')
    code, out, err = convert('deeplab-xception', tmp_path / 'src.pth', tmp_path / 'out.pth', CONFIG['r18'])
    assert code == 0, err
    assert f'used {len(names)} of {len(names)} tensors' in out
    written = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert list(written) == list(model_of(CONFIG['r18']).state_dict())


def test_a_student_does_not_become_a_teacher(convert, tmp_path):
    torch.save(numbered_tensors(names_and_shapes('r18')), tmp_path / 'src.pth')
    code, _, err = convert('deeplab-xception', tmp_path / 'src.pth', tmp_path / 'out.pth', CONFIG['r101'])
    assert code and 'missing' in err
    assert not (tmp_path / 'out.pth').exists()
