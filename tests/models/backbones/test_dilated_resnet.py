import pytest
import torch
import torch.nn.functional as F

from mmkd.models import DilatedResNet


def stage_output(stage, x):
    """A stage of basic blocks written naively, every 3x3 convolution with the stage's dilation."""
    dilation = stage[0].dilation
    for block in stage:
        out = F.conv2d(x, block.conv1.weight, stride=block.stride, padding=dilation, dilation=dilation)
        out = F.conv2d(block.norm1(out).relu(), block.conv2.weight, padding=dilation, dilation=dilation)
        x = (block.norm2(out) + (block.downsample(x) if block.downsample else x)).relu()
    return x


@pytest.fixture
def resnet18():
    torch.manual_seed(0)
    model = DilatedResNet(18, base_channels=8, stem_channels=16)
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def test_both_convolutions_of_a_basic_block_are_dilated(resnet18):
    x = torch.randn(1, 16, 21, 21)
    for name, dilation in dict(layer1=1, layer2=1, layer3=2, layer4=4).items():
        stage = getattr(resnet18, name)
        assert stage[0].dilation == stage[1].dilation == dilation
        out = stage(x.clone())
        torch.testing.assert_close(out, stage_output(stage, x))
        x = out.detach()


@pytest.mark.parametrize('ceil_mode, sizes', [(True, [33, 17, 17, 17]), (False, [32, 16, 16, 16])])
def test_rounding_of_the_pooled_size(resnet18, ceil_mode, sizes):
    """As 512 -> 129, 65, 65, 65 with ceil and 128, 64, 64, 64 without."""
    resnet18.maxpool.ceil_mode = DilatedResNet(18, ceil_mode=ceil_mode).maxpool.ceil_mode
    outs = resnet18(torch.randn(1, 3, 128, 128))
    assert [out.shape[-1] for out in outs] == sizes
    assert [out.shape[1] for out in outs] == [8, 16, 32, 64]


def test_stem_has_64_64_and_128_channels():
    stem = DilatedResNet(18).stem
    assert [stem[i].weight.shape[:2] for i in (0, 3, 6)] == [(64, 3), (64, 64), (128, 64)]


def test_bottleneck_has_the_dilation_of_its_stage_from_the_first_block():
    model = DilatedResNet(50, base_channels=2, stem_channels=4)
    assert [block.conv2.dilation for block in model.layer3] == [(2, 2)] * 6
    assert [block.conv2.dilation for block in model.layer4] == [(4, 4)] * 3
