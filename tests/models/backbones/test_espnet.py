import pytest
import torch

from mmkd.models import ESPNet, ESPNetCHead, ESPNetHead


def count(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameters_are_those_of_the_published_networks():
    """347,145 for ESPNet-C and 353,437 for ESPNet, with 11 classes."""
    assert count(ESPNet(), ESPNetCHead(num_classes=11)) == 347145
    assert count(ESPNet(), ESPNetHead(num_classes=11)) == 353437


def test_logits_are_at_an_eighth_and_at_the_full_size():
    features = ESPNet().eval()(torch.randn(1, 3, 24, 40))
    assert [tuple(f.shape[1:]) for f in features] == [(19, 12, 20), (131, 6, 10), (256, 3, 5)]
    assert ESPNetCHead(num_classes=7).eval()(features).shape == (1, 7, 3, 5)
    assert ESPNetHead(num_classes=7).eval()(features).shape == (1, 7, 24, 40)


def test_every_parameter_gets_a_gradient():
    encoder, head = ESPNet(), ESPNetHead(num_classes=5)
    head(encoder(torch.randn(2, 3, 16, 16))).square().mean().backward()
    for name, parameter in [*encoder.named_parameters(), *head.named_parameters()]:
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_too_few_classes_are_an_error_that_names_the_other_head():
    with pytest.raises(ValueError, match='num_classes gives 4 channels, expected 5 or more; ESPNetCHead'):
        ESPNetHead(num_classes=4)
