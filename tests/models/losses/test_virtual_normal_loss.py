"""Virtual normals against a loop over the triples that is written as the paper has it."""

import math

import pytest
import torch

from mmkd.models.losses import VirtualNormalLoss, virtual_normal_loss
from mmkd.models.losses.virtual_normal_loss import back_project, sample_triples, well_spread

CAMERA = torch.tensor([[9.0, 8.0, 4.5, 3.0]])


def scene(images=2, size=(7, 10), seed=0, dtype=torch.float64):
    """Predicted and true depths, with holes in the true ones, and a camera for each image."""
    generator = torch.Generator().manual_seed(seed)
    target = 1 + 3 * torch.rand(images, 1, *size, generator=generator, dtype=dtype)
    prediction = target + 0.5 * torch.randn(target.shape, generator=generator, dtype=dtype)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 0
    cameras = CAMERA.to(dtype) + torch.rand(images, 4, generator=generator, dtype=dtype)
    return prediction.clamp(min=0.2), target, cameras


def naive(prediction, target, cameras, triples, min_angle=30.0, min_distance=0.6, drop_easiest=0.25):
    """One triple after the other, in Python: back-project, look at the angles and sides, compare the normals."""

    def point(depth, camera, index):
        y, x = divmod(index, depth.shape[-1])
        z = depth.flatten()[index]
        fx, fy, cx, cy = camera.tolist()
        return torch.stack([(x - cx) * z / fx, (y - cy) * z / fy, z])

    def normal(a, b, c):
        u, v = b - a, c - a
        n = torch.stack([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])
        return n / n.square().sum().sqrt()

    losses = []
    for i in range(len(prediction)):
        for triple in triples[i].tolist():
            corners = [point(target[i], cameras[i], index) for index in triple]
            sides = [math.dist(corners[j].tolist(), corners[k].tolist()) for j, k in ((0, 1), (0, 2), (1, 2))]
            if min(sides) <= min_distance:
                continue
            angles = []
            for j in range(3):  # law of cosines: the side opposite of corner j is the one without it
                c, a, b = sides[2 - j], *(side for k, side in enumerate(sides) if k != 2 - j)
                angles.append(math.degrees(math.acos(max(-1.0, min(1.0, (a * a + b * b - c * c) / (2 * a * b))))))
            if min(angles) < min_angle:
                continue
            predicted = [point(prediction[i], cameras[i], index) for index in triple]
            losses.append((normal(*predicted) - normal(*corners)).abs().sum())
    losses = sorted(losses)[int(len(losses) * drop_easiest) :]
    return torch.stack(losses).mean(), len(losses)


@pytest.mark.parametrize('options', [dict(), dict(min_angle=15.0, min_distance=1.5), dict(drop_easiest=0.0)])
def test_equals_a_loop_over_the_triples_in_value_and_gradient(options):
    prediction, target, cameras = scene()
    triples = sample_triples(target.flatten(1) > 0, 40, torch.Generator().manual_seed(3))
    grads, values = [], []
    for fast in (True, False):
        x = prediction.clone().requires_grad_()
        if fast:
            generator = torch.Generator().manual_seed(3)
            loss = virtual_normal_loss(x, target, cameras, num_triples=40, generator=generator, **options)
        else:
            loss, count = naive(x, target, cameras, triples, **options)
            assert 5 < count < 80  # some triples are left out, and enough are left
        loss.backward()
        values.append(loss.detach())
        grads.append(x.grad)
    torch.testing.assert_close(*values, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-11)
    assert grads[0].abs().max() > 0


def test_points_of_the_scene_worked_out_by_hand():
    # pixel (x=3, y=1) of an image 4 wide, depth 2: ((3 - 1) / 2 * 2, (1 - .5) / 4 * 2, 2)
    camera = torch.tensor([[2.0, 4.0, 1.0, 0.5]])
    point = back_project(torch.tensor([[2.0]]), torch.tensor([[7]]), 4, camera)
    assert point.tolist() == [[[2.0, 0.25, 2.0]]]


def test_a_tilted_plane_has_the_difference_of_its_normal():
    # z = 2 everywhere has the normal (0, 0, 1). z = 2 / (1 - (x - cx) / fx) is the plane z - X = 2,
    # X = (x - cx) / fx z, with the normal (-1, 0, 1) / sqrt(2): the difference is 1/sqrt(2) + (1 - 1/sqrt(2)) = 1 for
    # every triple.
    width, height = 12, 10
    camera = torch.tensor([[24.0, 24.0, 5.5, 4.5]], dtype=torch.float64)
    flat = torch.full((1, 1, height, width), 2.0, dtype=torch.float64)
    tilted = (2 / (1 - (torch.arange(width, dtype=torch.float64) - 5.5) / 24)).expand(1, 1, height, width)
    loss = virtual_normal_loss(tilted, flat, camera, num_triples=500, min_distance=0.1)
    assert loss.item() == pytest.approx(1.0, abs=1e-9)
    assert virtual_normal_loss(flat * 3, flat, camera, min_distance=0.1).item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    'corners, kept',
    [
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], True),  # 90, 45, 45 degrees
        ([[0, 0, 0], [1, 0, 0], [2, 0.01, 0]], False),  # in a line
        ([[0, 0, 0], [1, 0, 0], [0.9, 1.8, 0]], False),  # 27 degrees in the third corner
        ([[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0]], False),  # a side of .5
        ([[0, 0, 0], [0, 0, 0], [0, 1, 0]], False),  # the same point twice
    ],
)
def test_which_triangles_count(corners, kept):
    assert well_spread(torch.tensor(corners, dtype=torch.float32), 30.0, 0.6).item() is kept


def test_only_pixels_with_a_reading_are_drawn_and_all_of_them():
    valid = torch.zeros(2, 30, dtype=torch.bool)
    valid[0, [3, 8, 20]] = True
    valid[1, 10:] = True
    drawn = sample_triples(valid, 300, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 300, 3)
    assert set(drawn[0].flatten().tolist()) == {3, 8, 20}
    assert set(drawn[1].flatten().tolist()) == set(range(10, 30))


@pytest.mark.parametrize('empty', ['no reading', 'one reading', 'one image of two'])
def test_without_a_triple_the_loss_is_zero_and_its_gradient_finite(empty):
    prediction, target, cameras = scene(dtype=torch.float32)
    if empty == 'one image of two':
        target[0] = 0
    else:
        target.zero_()
        target[:, :, 2, 2] = 0.0 if empty == 'no reading' else 2.0
    prediction.requires_grad_()
    loss = virtual_normal_loss(prediction, target, cameras, num_triples=200)
    loss.backward()
    assert torch.isfinite(prediction.grad).all()
    assert (loss.item() == 0) == (empty != 'one image of two')
    assert prediction.grad[0].abs().max() == 0


def test_a_prediction_whose_points_fall_together_has_a_finite_gradient():
    target = scene(dtype=torch.float32)[1]
    prediction = torch.full_like(target, 1e-12, requires_grad=True)  # the whole scene in one point
    virtual_normal_loss(prediction, target, CAMERA.expand(2, 4), num_triples=200).backward()
    assert torch.isfinite(prediction.grad).all()


def test_half_precision_is_computed_in_float32():
    prediction, target, cameras = scene(dtype=torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = virtual_normal_loss(prediction.bfloat16(), target, cameras)
    assert loss.dtype == torch.float32


def test_the_module_draws_the_same_triples_for_a_seed_and_leaves_the_runs_random_numbers_alone():
    inputs = [x.float() for x in scene()]
    before = torch.get_rng_state()
    a, b, other = (VirtualNormalLoss(num_triples=20, seed=seed) for seed in (1, 1, 2))
    first, second = a(*inputs), a(*inputs)
    assert first == b(*inputs) and first != second and first != other(*inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_resumed_run_draws_what_the_uninterrupted_one_draws():
    from mmengine.logging import MessageHub

    inputs = [x.float() for x in scene()]
    hub = MessageHub.get_instance('virtual-normals')
    values = []
    for module in (VirtualNormalLoss(num_triples=20, seed=1), VirtualNormalLoss(num_triples=20, seed=1)):
        hub.update_info('iter', 7)
        values.append(module(*inputs))
        hub.update_info('iter', 8)
        assert module(*inputs) != values[-1]
    assert values[0] == values[1]
    hub.update_info('iter', 6)  # and not what a run with the next seed draws an iteration earlier
    assert VirtualNormalLoss(num_triples=20, seed=2)(*inputs) != values[0]


@pytest.mark.parametrize(
    'option, message',
    [
        (dict(num_triples=0), 'num_triples is 0, expected 1'),
        (dict(min_angle=60), 'min_angle is 60'),
        (dict(min_distance=-1), 'min_distance'),
        (dict(drop_easiest=1.0), 'drop_easiest'),
    ],
)
def test_options_out_of_range_are_refused(option, message):
    with pytest.raises(ValueError, match=message):
        VirtualNormalLoss(**option)


def test_shapes_that_do_not_fit_are_named():
    prediction, target, cameras = scene()
    with pytest.raises(ValueError, match=r'got prediction \(2, 1, 7, 10\), target \(2, 1, 7, 9\)'):
        virtual_normal_loss(prediction, target[..., :9], cameras)
    with pytest.raises(ValueError, match=r'intrinsics: fx, fy, cx, cy of 2 images'):
        virtual_normal_loss(prediction, target, cameras[:1])
