import pytest
import torch
import torch.nn.functional as F
from mmseg.models.backbones import MobileNetV2

from mmkd.models import BlockPaddedMobileNetV2


@pytest.fixture
def models():
    torch.manual_seed(0)
    plain = MobileNetV2(
        widen_factor=0.25, strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 1, 2), out_indices=(1, 6)
    )
    for module in plain.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode='fan_in')
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias)
    padded = BlockPaddedMobileNetV2(widen_factor=0.25, out_indices=(1, 6))
    padded.load_state_dict(plain.state_dict())
    plain.eval(), padded.eval()  # do not return the model
    return plain, padded


def conv_bn(module, x, last=False, **options):
    x = F.conv2d(x, module.conv.weight, **options)
    norm = module.bn
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    return x if last else x.clamp(0, 6)


def naive(model, x):
    """The network with zeros put around the input of each block."""
    x = conv_bn(model.conv1, x, stride=2, padding=1)
    outs = []
    for i, name in enumerate(model.layers):
        for block in getattr(model, name):
            *first, depthwise, linear = block.conv
            dilation = depthwise.conv.dilation[0]
            y = F.pad(x, [dilation] * 4)
            for expansion in first:
                y = conv_bn(expansion, y)
            y = conv_bn(depthwise, y, stride=block.stride, dilation=dilation, groups=y.shape[1])
            y = conv_bn(linear, y, last=True)
            x = x + y if block.stride == 1 and x.shape == y.shape else y
        if i in model.out_indices:
            outs.append(x)
    return outs


def test_blocks_are_padded_before_their_expansion(models):
    plain, padded = models
    x = torch.randn(1, 3, 97, 65)
    expected = naive(padded, x)
    for out, other, reference in zip(padded(x), plain(x), expected, strict=True):
        assert reference.std() > 0.1
        torch.testing.assert_close(out, reference, rtol=1e-4, atol=1e-4)
        assert out.shape == other.shape
        assert not torch.allclose(out, other, atol=1e-2)
    low, deep = (out.shape[2:] for out in padded(x))
    assert (low, deep) == ((25, 17), (7, 5))


def test_away_from_the_border_nothing_differs(models):
    plain, padded = models
    x = torch.randn(1, 3, 97, 97)
    low = [model(x)[0][..., 4:-4, 4:-4] for model in models]
    torch.testing.assert_close(*low)


def test_only_the_last_layer_is_dilated(models):
    for model in models:
        dilations = {name: {b.conv[-2].conv.dilation[0] for b in getattr(model, name)} for name in model.layers}
        assert dilations == {**dict.fromkeys(model.layers, {1}), 'layer7': {2}}
