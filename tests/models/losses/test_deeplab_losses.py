"""The task losses of DeepLabV3+-KD, with mmseg's cross-entropy where it can be said in it."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd.registry import MODELS


@pytest.fixture
def inputs():
    """Logits of 3 images and labels with a row to be ignored, from the stream of the published numbers."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 6, 33, 33), (2, 8, 33, 33), (2, 8, 12, 10), (2, 8, 12, 10), (2, 4, 3, 3), (2, 4, 3, 3), (3, 5, 7, 7))
    logits = [torch.randn(*shape, generator=generator) for shape in shapes][-1]
    labels = torch.randint(0, 5, (3, 7, 7), generator=generator)
    labels[0, 0] = 255
    return logits, labels


def build(**config):
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(config)


def test_cross_entropy_divided_by_the_batch_once_more(inputs):
    plain = build(type='CrossEntropyLoss', avg_non_ignore=True)
    assert plain(*inputs, ignore_index=255).item() == pytest.approx(1.899012565612793, rel=1e-5)
    divided = build(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=1 / 3)
    assert divided(*inputs, ignore_index=255).item() == pytest.approx(0.6330041885375977, rel=1e-5)


def test_focal_factor_on_the_mean(inputs):
    loss = build(type='mmkd.FocalOfMeanLoss', loss_weight=1 / 3)
    assert loss(*inputs, ignore_index=255).item() == pytest.approx(0.2288253903388977, rel=1e-5)
    assert loss.loss_name == 'loss_focal'


def test_focal_factor_by_hand():
    # two classes, equally likely everywhere: L = log 2, exp(-L) = 1/2; 0.25 * (1/2)^3 * log 2
    loss = build(type='mmkd.FocalOfMeanLoss', gamma=3.0, alpha=0.25)
    value = loss(torch.zeros(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.long), ignore_index=255)
    assert value.item() == pytest.approx(0.25 * 0.125 * 0.693147, rel=1e-5)
