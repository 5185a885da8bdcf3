import pytest
import torch
import torch.nn.functional as F
from helpers.norms import randomize_norms
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.models import DeepLabV3PlusHead


def conv_bn(module, x, **options):
    """Convolution, batch norm in evaluation, ReLU; also what goes into the ReLU."""
    x = F.conv2d(x, module.conv.weight, **options)
    norm = module.bn
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, False, 0.0, norm.eps)
    return x.relu(), x


def naive(head, c1, x):
    """The head written out; returns the logits, and the bottleneck and the last map before their ReLUs."""
    one, *dilated = head.aspp_modules
    branches = [conv_bn(one, x)[0]]
    branches += [conv_bn(m, x, padding=d, dilation=d)[0] for m, d in zip(dilated, (6, 12, 18), strict=True)]
    pooled = conv_bn(head.image_pool[1], x.mean((2, 3), keepdim=True))[0]
    out, encoder = conv_bn(head.bottleneck, torch.cat([*branches, pooled.expand(-1, -1, *x.shape[2:])], 1))
    out = F.interpolate(out, c1.shape[2:], mode='bilinear', align_corners=True)
    out = conv_bn(head.conv1, torch.cat([out, conv_bn(head.c1_bottleneck, c1)[0]], 1), padding=1)[0]
    out, decoder = conv_bn(head.conv2, out, padding=1)
    return F.conv2d(out, head.conv_seg.weight, head.conv_seg.bias), encoder, decoder


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = DeepLabV3PlusHead(
        in_channels=12, in_index=3, channels=8, c1_in_channels=6, c1_channels=4, num_classes=5, norm_cfg=dict(type='BN')
    )
    head.init_weights()
    randomize_norms(head)
    nn.init.normal_(head.conv_seg.weight)
    return head


@pytest.fixture
def maps():
    torch.manual_seed(1)
    return [torch.randn(2, 6, 25, 21), None, None, torch.randn(2, 12, 7, 6)]


def test_forward_is_that_of_the_original_written_out(head, maps):
    head.eval()
    expected = naive(head, maps[0], maps[3])[0]
    assert expected.std() > 0.1
    torch.testing.assert_close(head(maps), expected)


def test_taps_hold_what_comes_before_the_relu(head, maps):
    """The ReLUs write over their inputs, so a plain hook would see what comes after them."""
    from mmkd.distillation.taps.recorders import Recorders

    assert head.bottleneck.activate.inplace and head.conv2.activate.inplace
    head.eval()
    expected = naive(head, maps[0], maps[3])[1:]
    names = ('bottleneck.bn', 'conv2.bn')
    recorders = Recorders({name: dict(type='ModuleOutputs', source=name) for name in names}, 'student')
    recorders.initialize(head)
    for _ in range(2):  # the first records copies, the second relies on what was learned in it
        with recorders.attached(head):
            head(maps)
        for name, values in zip(names, expected, strict=True):
            recorded = recorders.get_recorder(name).get_record_data()
            assert (recorded < 0).float().mean() > 0.1
            torch.testing.assert_close(recorded, values)
        recorders.clear()


def test_dropouts_drop_values_and_can_be_left_out(head, maps):
    kinds = [head.aspp_dropout, head.decoder_dropout, head.dropout]
    assert [(type(d), d.p) for d in kinds] == [(nn.Dropout, 0.5), (nn.Dropout, 0.5), (nn.Dropout, 0.1)]
    for dropout in kinds:
        seen = []
        hook = dropout.register_forward_hook(lambda m, i, out, seen=seen: seen.append((i[0].clone(), out)))
        head.train()(maps)
        hook.remove()
        before, after = seen[0]
        dropped = (before != 0) & (after == 0)
        assert abs(dropped.sum() / (before != 0).sum() - dropout.p) < 0.05
    options = dict(in_channels=12, in_index=3, c1_in_channels=6, num_classes=5)
    without = DeepLabV3PlusHead(**options, aspp_dropout_ratio=0, decoder_dropout_ratio=0, dropout_ratio=0)
    without.train()
    torch.manual_seed(0)
    first = without(maps)
    torch.testing.assert_close(without(maps), first)


def test_sizes_of_the_taps_in_training():
    """With crops of 513, the authors' maps: 256 x 33 x 33 at the encoder's end, 256 x 129 x 129 at the decoder's."""
    with torch.device('meta'):
        head = DeepLabV3PlusHead(in_channels=512, in_index=3, c1_in_channels=64, num_classes=21).eval()
    sizes = {}
    for name in ('bottleneck.bn', 'conv2.bn'):
        head.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    maps = [torch.zeros(1, 64, 129, 129, device='meta'), None, None, torch.zeros(1, 512, 33, 33, device='meta')]
    assert head(maps).shape == (1, 21, 129, 129)
    assert sizes == {'bottleneck.bn': (256, 33, 33), 'conv2.bn': (256, 129, 129)}


def test_it_is_found_from_an_mmseg_config():
    from mmseg.registry import MODELS

    import mmkd  # noqa: F401

    config = Config(dict(type='mmkd.DeepLabV3PlusHead', in_channels=12, in_index=3, c1_in_channels=6, num_classes=5))
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert type(MODELS.build(config)) is DeepLabV3PlusHead
