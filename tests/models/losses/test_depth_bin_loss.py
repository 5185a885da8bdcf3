"""Depth bins, and the cross-entropy over them with weights by distance."""

import math

import pytest
import torch

from mmkd.models.losses import DepthBinLoss, DepthBins, depth_bin_loss

BINS = DepthBins(number=4, min_depth=0.5, max_depth=8.0)  # borders .5, 1, 2, 4, 8


def test_bins_have_equal_width_in_the_logarithm():
    depth = torch.tensor([0.0, 0.1, 0.5, 0.99, 1.01, 3.0, 7.9, 8.0, 50.0])
    assert BINS.index_of(depth).tolist() == [-1, 0, 0, 0, 1, 2, 3, 3, 3]
    expected = [math.sqrt(0.5), math.sqrt(2), math.sqrt(8), math.sqrt(32)]
    torch.testing.assert_close(BINS.centers(torch.zeros(1)).exp(), torch.tensor(expected))


def test_the_depth_is_the_expectation_of_the_logarithm():
    logits = torch.tensor([[1.0, 1.0, -1e4, -1e4], [-1e4, -1e4, 0.0, -1e4]]).view(2, 4, 1, 1)
    # half of each of the first two: the geometric mean of sqrt(.5) and sqrt(2) is 1; the third bin alone: sqrt(8)
    torch.testing.assert_close(BINS.depth_of(logits).flatten(), torch.tensor([1.0, math.sqrt(8)]))
    assert BINS.depth_of(torch.zeros(2, 4, 3, 5)).shape == (2, 1, 3, 5)


def test_a_depth_comes_back_within_half_a_bin():
    bins = DepthBins(150, 0.1, 10.0)
    depth = torch.rand(1, 1, 8, 9) * 9 + 0.5
    logits = torch.nn.functional.one_hot(bins.index_of(depth[:, 0]), 150).permute(0, 3, 1, 2) * 1e3
    ratio = (bins.depth_of(logits.float()) / depth).log().abs()
    assert ratio.max() <= bins.width / 2 + 1e-5


def naive(logits, index, alpha):
    losses = []
    for n in range(index.shape[0]):
        for y in range(index.shape[1]):
            for x in range(index.shape[2]):
                true = index[n, y, x].item()
                if true >= 0:
                    log_p = logits[n, :, y, x].log_softmax(0)
                    losses.append(-sum(math.exp(-alpha * (i - true) ** 2) * log_p[i] for i in range(len(log_p))))
    return torch.stack(losses).mean()


@pytest.mark.parametrize('alpha', [0.0, 0.2, 2.0])
@pytest.mark.parametrize('bins', [2, 30])
def test_equals_a_loop_over_the_pixels_in_value_and_gradient(alpha, bins):
    torch.manual_seed(0)
    index = torch.randint(-1, bins, (2, 3, 4))
    grads, values = [], []
    logits = torch.randn(2, bins, 3, 4, dtype=torch.float64)
    for function in (depth_bin_loss, naive):
        x = logits.clone().requires_grad_()
        loss = function(x, index, alpha)
        loss.backward()
        values.append(loss.detach())
        grads.append(x.grad)
    torch.testing.assert_close(*values, rtol=1e-6, atol=1e-6)  # weights below 1e-8 are left out
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


def test_with_a_sharp_weight_it_is_the_cross_entropy():
    logits, index = torch.randn(2, 6, 3, 4), torch.randint(0, 6, (2, 3, 4))
    torch.testing.assert_close(
        depth_bin_loss(logits, index, alpha=100.0), torch.nn.functional.cross_entropy(logits, index)
    )


def test_without_a_reading_the_loss_and_its_gradient_are_zero():
    logits = torch.randn(1, 4, 2, 2, requires_grad=True)
    loss = DepthBinLoss()(logits, torch.full((1, 2, 2), -1))
    loss.backward()
    assert loss.item() == 0 and logits.grad.abs().max() == 0


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r'got \(1, 4, 2, 2\) and \(1, 2, 3\)'):
        depth_bin_loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match='between 0 < min_depth < max_depth were expected, got 4 between 0 and 8'):
        DepthBins(4, 0, 8)
    with pytest.raises(ValueError, match='alpha is -1'):
        DepthBinLoss(alpha=-1)
