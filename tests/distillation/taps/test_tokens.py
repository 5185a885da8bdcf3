"""Tokens as maps."""

import pytest
import torch
from helpers.distillation_toys import batch, build
from torch import nn

from mmkd.distillation.taps.tokens import tokens_to_map


def test_layouts():
    tokens = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    grid = tokens_to_map(tokens, dict(num_prefix_tokens=1))
    assert grid.shape == (2, 3, 2, 2) and torch.equal(grid[:, :, 1, 0], tokens[:, 3])
    assert tokens_to_map(tokens[:, :4], 'grid').shape == (2, 3, 2, 2)
    assert tokens_to_map(tokens, 'line').shape == (2, 3, 5, 1)
    assert tokens_to_map(torch.cat([tokens, tokens[:, :1]], 1), dict(size=(2, 3))).shape == (2, 3, 2, 3)
    with pytest.raises(ValueError, match=r'5 tokens do not fill a grid of 2 x 2; dict\(size='):
        tokens_to_map(tokens, 'grid')


class Tokens(nn.Module):
    """A neck that gives tokens."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 1)

    def forward(self, x):
        return self.conv(x).flatten(2).transpose(1, 2)


def test_both_sides_may_give_tokens_and_have_other_channels():
    tap = dict(source='backbone.tokens', tokens='grid')

    def with_tokens(model, channels):
        model.backbone.tokens = Tokens(channels)
        residual = model.backbone.forward

        def forward(x):
            out = residual(x)
            model.backbone.tokens(out)
            return out

        model.backbone.forward = forward
        return model

    from helpers.distillation_toys import ToyDetector

    torch.manual_seed(0)
    student, teacher = with_tokens(ToyDetector(4), 4), with_tokens(ToyDetector(8), 8)
    distill = dict(tokens=dict(taps=tap, loss=dict(type='PairWiseLoss')))
    algorithm = build(distill, student=student, teacher=dict(model=teacher))
    loss = algorithm(batch((32, 32)), mode='loss')['distill.loss_tokens']
    loss.backward()
    assert loss > 0 and student.backbone.tokens.conv.weight.grad.abs().sum() > 0


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match=r"distill.a.taps.tokens: 'grid', 'line' or dict\(size=.*got 'square'"):
        build(dict(a=dict(taps=dict(source='neck', tokens='square'), loss=dict(type='PKDLoss'))))
