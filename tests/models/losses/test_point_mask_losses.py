"""The losses of CenterMask with point representation: published numbers, exactness at the ends, half precision."""

import pytest
import torch
import torch.nn.functional as F

from mmkd.models.losses import CenterFocalLoss, ProductMaskLoss, center_focal_loss, product_bce


@pytest.fixture
def published_input():
    """The random numbers on which the public implementations were run."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator)
    target = 0.9 * torch.rand(2, 3, 8, 8, generator=generator)
    target[0, 1, 3, 4] = target[1, 2, 5, 5] = 1
    return logits, target, generator


def test_focal_loss_is_that_of_the_public_implementations(published_input):
    logits, target, _ = published_input
    assert center_focal_loss(logits, target).item() == pytest.approx(16.43886375427246, abs=1e-5)


def test_focal_loss_worked_out_by_hand():
    # One object: p = 1/2, Y = 1 -> 1/4 log 2. Beside it p = 1/2, Y = 1/2 -> 1/16 * 1/4 log 2. Divided by one object.
    loss = center_focal_loss(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.5]]]]))
    assert loss.item() == pytest.approx((1 / 4 + 1 / 64) * 0.6931472, rel=1e-6)


def test_focal_loss_without_objects_is_not_divided():
    loss = center_focal_loss(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    assert loss.item() == pytest.approx(4 * 0.25 * 0.6931472, rel=1e-6)


@pytest.mark.parametrize('alpha, beta', [(2.0, 4.0), (1.0, 3.0)])
def test_focal_loss_has_the_gradient_of_the_formula(alpha, beta):
    torch.manual_seed(0)
    logits = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    target = torch.rand(1, 2, 4, 4, dtype=torch.float64)
    target[0, 0, 1, 1] = target[0, 1, 2, 2] = 1
    p = logits.sigmoid()
    is_one = (target == 1).double()
    naive = -(is_one * (1 - p) ** alpha * p.log() + (1 - is_one) * (1 - target) ** beta * p**alpha * (1 - p).log())
    (expected,) = torch.autograd.grad(naive.sum() / 2, logits)
    (grad,) = torch.autograd.grad(center_focal_loss(logits, target, alpha, beta), logits)
    torch.testing.assert_close(grad, expected)


def test_focal_loss_is_finite_where_a_probability_rounds_to_0_or_1():
    logits = torch.tensor([[[[-200.0, 200.0]]]], requires_grad=True)
    loss = center_focal_loss(logits, torch.tensor([[[[1.0, 0.0]]]]))
    loss.backward()
    assert loss.item() == pytest.approx(400.0)
    torch.testing.assert_close(logits.grad, torch.tensor([[[[-1.0, 1.0]]]]))


def test_focal_loss_module_weighs_and_averages():
    logits, target = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.5]]]])
    assert CenterFocalLoss(loss_weight=3.0)(logits, target, avg_factor=2).item() == pytest.approx(
        1.5 * center_focal_loss(logits, target).item()
    )
    with pytest.raises(ValueError, match=r'logits \(1, 1, 1, 2\) and target \(1, 1\)'):
        center_focal_loss(logits, torch.zeros(1, 1))


def random_masks(dtype=torch.float64, scale=3.0):
    torch.manual_seed(0)
    local = (scale * torch.randn(50, dtype=dtype)).requires_grad_()
    saliency = (scale * torch.randn(50, dtype=dtype)).requires_grad_()
    return local, saliency, torch.rand(50, dtype=dtype)


def test_mask_loss_is_cross_entropy_of_the_product():
    local, saliency, target = random_masks()
    expected = F.binary_cross_entropy(local.sigmoid() * saliency.sigmoid(), target, reduction='none')
    losses = product_bce(local, saliency, target)
    torch.testing.assert_close(losses, expected)
    for grad, naive in zip(
        torch.autograd.grad(losses.sum(), (local, saliency)),
        torch.autograd.grad(expected.sum(), (local, saliency)),
        strict=True,
    ):
        torch.testing.assert_close(grad, naive)


def test_mask_loss_passes_gradcheck():
    local, saliency, target = random_masks()
    assert torch.autograd.gradcheck(lambda a, b: product_bce(a, b, target), (local, saliency))


@pytest.mark.parametrize('target', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('local', [-300.0, -90.0, 0.0, 90.0, 300.0])
@pytest.mark.parametrize('saliency', [-300.0, -90.0, 0.0, 90.0, 300.0])
def test_mask_loss_of_extreme_logits_is_that_of_exact_arithmetic(local, saliency, target):
    from decimal import Decimal, getcontext

    getcontext().prec = 400

    def sigmoid(x):
        return 1 / (1 + (-Decimal(x)).exp())

    p = sigmoid(local) * sigmoid(saliency)
    not_p = sigmoid(-local) + sigmoid(local) * sigmoid(-saliency)  # 1 - p
    exact = -(Decimal(target) * p.ln() + (1 - Decimal(target)) * not_p.ln())
    inputs = [torch.tensor([value], requires_grad=True) for value in (local, saliency)]
    loss = product_bce(*inputs, torch.tensor([target]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(float(exact), rel=1e-6, abs=1e-30)
    assert all(torch.isfinite(x.grad).all() for x in inputs)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_losses_under_autocast_are_computed_in_single_precision(dtype):
    local, saliency, target = (x.detach().to(dtype) for x in random_masks(torch.float32, 12.0))
    expected = product_bce(local.float(), saliency.float(), target.float())
    with torch.autocast('cpu', torch.bfloat16):
        losses = product_bce(local, saliency, target)
        focal = center_focal_loss(local, target)
    assert losses.dtype == focal.dtype == torch.float32
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


def test_each_object_counts_the_same_whatever_its_size():
    # Two objects, of one cell with loss log 4 and of three cells with loss -log(3/4): the mean of both.
    zeros = torch.zeros(4)
    target, box, count = torch.tensor([1.0, 0, 0, 0]), torch.tensor([0, 1, 1, 1]), torch.tensor([1, 3])
    loss = ProductMaskLoss(loss_weight=2.0)(zeros, zeros, target, box, count)
    assert loss.item() == pytest.approx(2 * (1.3862944 + 0.2876821) / 2, rel=1e-6)
    none = torch.zeros(0, requires_grad=True)
    index = torch.zeros(0, dtype=torch.long)
    assert ProductMaskLoss()(none, none, none.detach(), index, index).item() == 0
