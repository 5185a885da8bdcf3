"""EfficientNet-Lite under the names of the packages, for both backbones that have such layers."""

import pytest
import torch
from mmengine.config import Config

from mmkd.models import EfficientNetLite, TimmBackbone

# convolutions and norms of the blocks of Lite0: the first one does not expand
PARTS = {'_expand_conv': '_bn0', '_depthwise_conv': '_bn1', '_project_conv': '_bn2'}
NORM = ('weight', 'bias', 'running_mean', 'running_var')


def packaged_names():
    layers = {'_conv_stem': '_bn0', '_conv_head': '_bn1'}
    for block in range(16):
        layers |= {f'_blocks.{block}.{conv}': f'_blocks.{block}.{norm}' for conv, norm in PARTS.items()}
    del layers['_blocks.0._expand_conv']
    names = [f'{conv}.weight' for conv in layers] + [f'{norm}.{tensor}' for norm in layers.values() for tensor in NORM]
    return [*names, '_fc.weight', '_fc.bias']


@pytest.fixture
def file(tmp_path):
    """A file of the whole network with random numbers."""
    backbone = EfficientNetLite('lite0')
    shapes = backbone.state_dict()
    own = {source: target for target, source in backbone.own_names({name: name for name in packaged_names()}).items()}
    torch.manual_seed(0)
    tensors = {name: torch.rand(shapes[own[name]].shape if own.get(name) in shapes else 1) for name in packaged_names()}
    torch.save(tensors, tmp_path / 'lite0.pth')
    return tmp_path / 'lite0.pth'


def config_of(backbone, channels, folder):
    head = dict(type='FCNHead', in_channels=channels, in_index=-1, channels=channels, num_convs=0, num_classes=2)
    model = dict(type='EncoderDecoder', backbone=backbone, decode_head=head)
    Config(dict(default_scope='mmseg', model=model)).dump(folder / 'config.py')
    return folder / 'config.py'


@pytest.mark.parametrize('kind', [EfficientNetLite, TimmBackbone])
def test_a_converted_file_loads_as_the_original_does(kind, file, tmp_path, convert):
    settings = dict(arch='lite0', out_indices=(2, 3))
    if kind is TimmBackbone:
        pytest.importorskip('timm', reason='the extra mmkd[timm] is not installed')
        settings = dict(name='tf_efficientnet_lite0', out_indices=(1, 2))
    config = config_of(dict(type=f'mmkd.{kind.__name__}', **settings), 40, tmp_path)
    code, printed, err = convert('efficientnet-lite', file, tmp_path / 'out.pth', config)
    assert code == 0, err
    assert 'they fill the backbone' in printed and '_fc.weight' in printed

    original = kind(**settings, ckpt=str(file))
    converted = kind(**settings, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'out.pth')))
    for network in (original, converted):
        network.init_weights()
    theirs = original.state_dict()
    for name, tensor in converted.state_dict().items():
        assert name.endswith('num_batches_tracked') or torch.equal(tensor, theirs[name]), name


def test_another_backbone_is_named(file, tmp_path, convert):
    config = config_of(dict(type='ResNet', depth=18), 512, tmp_path)
    code, _, err = convert('efficientnet-lite', file, tmp_path / 'out.pth', config)
    assert code == 2 and 'model.backbone is a ResNet, expected EfficientNetLite or TimmBackbone' in err
