import pytest
import torch
from torch import nn

from mmkd.models import ESPNet, ESPNetCHead, ESPNetHead


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameters_are_those_of_the_published_networks():
    """347,145 for ESPNet-C and 353,437 for ESPNet, with 11 classes."""
    assert count(ESPNet(), ESPNetCHead(num_classes=11)) == 347145
    assert count(ESPNet(), ESPNetHead(num_classes=11)) == 353437


@pytest.mark.parametrize('size', [(24, 40), (25, 41), (26, 38), (28, 44), (31, 33), (17, 9)])
def test_images_of_any_size(size):
    height, width = size
    features = ESPNet().eval()(torch.randn(1, 3, *size))
    assert [tuple(f.shape[2:]) for f in features] == [(-(-height // s), -(-width // s)) for s in (2, 4, 8)]
    logits = ESPNetHead(num_classes=5).eval()(features)
    assert logits.shape == (1, 5, height + height % 2, width + width % 2)


def test_logits_of_a_cropped_image_are_those_of_the_whole():
    """Away from the new border: nothing is shifted where a side is no multiple of 8."""
    torch.manual_seed(0)
    encoder, head = ESPNet(depths=(0, 0)).eval(), ESPNetHead(num_classes=5).eval()
    image = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        whole, part = head(encoder(image)), head(encoder(image[..., :157, :158]))
    torch.testing.assert_close(part[..., :40, :40], whole[..., :40, :40], rtol=0, atol=1e-4)


@pytest.mark.parametrize('norm_cfg', [dict(type='IN', affine=True), dict(type='GN', num_groups=1), dict(type='SyncBN')])
def test_norm_cfg_chooses_every_norm(norm_cfg):
    kind = {'IN': nn.InstanceNorm2d, 'GN': nn.GroupNorm, 'SyncBN': nn.SyncBatchNorm}[norm_cfg['type']]
    networks = nn.ModuleList([ESPNet(norm_cfg=norm_cfg), ESPNetHead(num_classes=5, norm_cfg=norm_cfg)])
    plain = nn.ModuleList([ESPNet(), ESPNetHead(num_classes=5)])
    number = sum(isinstance(module, nn.BatchNorm2d) for module in plain.modules())
    norms = [module for module in networks.modules() if isinstance(module, kind)]
    assert len(norms) == number > 20
    assert not any(isinstance(module, nn.BatchNorm2d) for module in networks.modules())
    assert all(norm.eps == 1e-3 for norm in norms)


def test_frozen_norms_and_another_eps():
    norm_cfg = dict(type='BN', eps=1e-5, requires_grad=False)
    network = ESPNet(norm_cfg=norm_cfg)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.eps == 1e-5 and not norm.weight.requires_grad for norm in norms)


def test_too_few_classes_are_an_error_that_names_the_other_head():
    with pytest.raises(ValueError, match='num_classes gives 4 channels, expected 5 or more; ESPNetCHead'):
        ESPNetHead(num_classes=4)
