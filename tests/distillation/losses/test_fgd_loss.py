"""FGD: masks, focal part, global part."""

import copy
import math
import pickle

import pytest
import torch
from helpers.loss_tester import assert_same, draw, grid, value_and_gradient
from mmengine.structures import BaseDataElement, InstanceData
from torch.nn import functional as F

from mmkd.distillation.losses import FGDLoss, fgd_focal_loss, fgd_global_loss, foreground_masks
from mmkd.distillation.losses.fgd import GlobalContext
from mmkd.registry import MODELS

BOXES = [
    torch.tensor([[3.0, 5, 40, 30], [10, 8, 18, 15], [0, 0, 64, 4]]),
    torch.zeros(0, 4),
    torch.tensor([[30.0, 20, 30, 20], [63.9, 47.5, 80, 60], [-5, -3, 2, 2]]),  # empty, and over the border
]
IMAGE = (48, 64)


def samples(boxes=BOXES, size=IMAGE):
    instances = [InstanceData(bboxes=box) for box in boxes]
    return [BaseDataElement(gt_instances=i, metainfo=dict(img_shape=(9, 9), batch_input_shape=size)) for i in instances]


def naive_masks(boxes, map_size, image_size):
    height, width = map_size
    foreground = torch.zeros(len(boxes), height, width, dtype=torch.float64)
    for n, image_boxes in enumerate(boxes):
        for x1, y1, x2, y2 in image_boxes.tolist():
            columns = (math.floor(x1 * width / image_size[1]), math.ceil(x2 * width / image_size[1]) - 1)
            rows = (math.floor(y1 * height / image_size[0]), math.ceil(y2 * height / image_size[0]) - 1)
            left, top = min(max(columns[0], 0), width - 1), min(max(rows[0], 0), height - 1)
            right, bottom = max(min(columns[1], width - 1), left), max(min(rows[1], height - 1), top)
            area = (right - left + 1) * (bottom - top + 1)
            for y in range(top, bottom + 1):
                for x in range(left, right + 1):
                    foreground[n, y, x] = max(foreground[n, y, x].item(), 1 / area)
    background = torch.zeros_like(foreground)
    for n in range(len(boxes)):
        outside = foreground[n] == 0
        if outside.any():
            background[n][outside] = 1 / outside.sum().item()
    return foreground, background


def naive_focal(
    student, teacher, fg, bg, fg_weight=0.25, bg_weight=0.125, attention_weight=0.25, temperature=0.5, reduction='mean'
):
    number, channels, height, width = student.shape
    per_channel, per_position = (channels, height * width) if reduction == 'mean' else (1, 1)
    total = 0
    for n in range(number):
        attention = []
        for x in (student[n], teacher[n]):
            space = (sum(x[c].abs() for c in range(channels)) / channels / temperature).exp()
            channel = torch.stack([(x[c].abs().sum() / (height * width) / temperature).exp() for c in range(channels)])
            attention.append((height * width * space / space.sum(), channels * channel / channel.sum()))
        (space_s, channel_s), (space_t, channel_t) = attention
        for c in range(channels):
            for y in range(height):
                for x in range(width):
                    weight = fg_weight * fg[n, y, x] + bg_weight * bg[n, y, x]
                    difference = student[n, c, y, x] - teacher[n, c, y, x]
                    total = total + weight * space_t[y, x] * channel_t[c] * difference**2 / per_channel
        total = total + attention_weight * (space_s - space_t).abs().sum() / per_position
        total = total + attention_weight * (channel_s - channel_t).abs().sum() / per_channel
    return total / number


# ---- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('map_size', [(6, 8), (12, 16), (3, 4), (5, 7), (1, 1)])
def test_masks_equal_the_naive_ones(map_size):
    for actual, expected in zip(
        foreground_masks(BOXES, map_size, IMAGE), naive_masks(BOXES, map_size, IMAGE), strict=True
    ):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=0)


def test_masks_worked_by_hand():
    # cells of 8 pixels, 2 x 3 of them. The large box touches all 6: 1/6 each, the small one the cell at the lower right
    # corner alone: 1. No cell is left for the background.
    foreground, background = foreground_masks([torch.tensor([[0.0, 1, 24, 15], [17, 9, 23, 15]])], (2, 3), (16, 24))
    torch.testing.assert_close(foreground, torch.tensor([[[1, 1, 1], [1, 1, 6]]]) / 6)
    assert not background.any()


def test_a_box_counts_as_one_at_every_size_and_the_background_does_too():
    for size in (4, 8, 40):
        box = torch.tensor([[8.0, 8, 8 + size, 8 + size]])
        for mask in foreground_masks([box], (64, 64), (64, 64)):
            assert mask.sum().item() == pytest.approx(1, abs=1e-5)


# ---- focal part ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(reduction='batch_sum', fg_weight=1e-3, bg_weight=5e-4, attention_weight=1e-3),
        dict(temperature=2.0, fg_weight=0.0),
    ],
)
def test_focal_part_equals_the_naive_formula(options):
    pair = draw((3, 4, 5, 6), (3, 4, 5, 6), dtype=torch.float64)
    masks = naive_masks(BOXES, (5, 6), IMAGE)
    expected = value_and_gradient(lambda s, t: naive_focal(s, t, *masks, **options), *pair)
    for dtype, rtol in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        maps = (x.to(dtype) for x in pair)
        actual = value_and_gradient(lambda s, t: fgd_focal_loss(s, t, *masks, **options), *maps)
        for what, a, e in zip(('value', 'gradient'), actual, expected, strict=True):
            assert_same(a, e.to(dtype), rtol, f'{what} in {dtype}')


def test_focal_part_gradcheck():
    student, teacher = draw((3, 3, 3, 4), (3, 3, 3, 4), dtype=torch.float64)
    masks = naive_masks(BOXES, (3, 4), IMAGE)
    assert torch.autograd.gradcheck(lambda s: fgd_focal_loss(s, teacher, *masks), student.requires_grad_())


def test_focal_part_is_zero_between_equal_maps_and_refuses_other_masks():
    student, teacher = draw((3, 4, 5, 6), (3, 4, 5, 6))
    masks = foreground_masks(BOXES, (5, 6), IMAGE)
    assert fgd_focal_loss(student, student, *masks) == 0 < fgd_focal_loss(student, teacher, *masks)
    with pytest.raises(ValueError, match=r'masks are \(3, 6, 8\) and \(3, 6, 8\), expected \(3, 5, 6\)'):
        fgd_focal_loss(student, teacher, *foreground_masks(BOXES, (6, 8), IMAGE))
    with pytest.raises(ValueError, match='one size'):
        fgd_focal_loss(student, teacher[..., :3], *masks)


# ---- global part -----------------------------------------------------------------------------------------------------


def trained_context(seed):
    """A context block that does something: not with the zeros it begins with."""
    torch.manual_seed(seed)
    block = GlobalContext(4)
    torch.nn.init.normal_(block.transform[-1].weight)
    torch.nn.init.normal_(block.transform[-1].bias)
    return block.double()


def naive_context(block, x):
    out = []
    for image in x:
        positions = [image[:, y, x] for y in range(image.shape[1]) for x in range(image.shape[2])]
        scores = torch.stack([block.weigh.weight[0, :, 0, 0] @ p + block.weigh.bias[0] for p in positions]).exp()
        context = sum(s / scores.sum() * p for s, p in zip(scores, positions, strict=True))
        first, norm, _, last = block.transform
        hidden = first.weight[:, :, 0, 0] @ context + first.bias
        hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + norm.eps).sqrt()
        hidden = (hidden * norm.weight[:, 0, 0] + norm.bias[:, 0, 0]).clamp(min=0)
        out.append(image + (last.weight[:, :, 0, 0] @ hidden + last.bias)[:, None, None])
    return torch.stack(out)


@pytest.mark.parametrize('reduction', ['mean', 'batch_sum'])
def test_global_part_equals_the_naive_formula(reduction):
    student, teacher = draw((2, 4, 3, 5), (2, 4, 3, 5), dtype=torch.float64)
    contexts = trained_context(0), trained_context(1)

    def naive(s, t):
        square = (naive_context(contexts[0], s) - naive_context(contexts[1], t)).square()
        return square.mean() if reduction == 'mean' else square.sum() / 2

    expected = value_and_gradient(naive, student, teacher)
    actual = value_and_gradient(lambda s, t: fgd_global_loss(s, t, *contexts, reduction), student, teacher)
    for what, a, e in zip(('value', 'gradient'), actual, expected, strict=True):
        assert_same(a, e, 1e-9, what)
    s = student.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: fgd_global_loss(s, teacher, *contexts, reduction), s)


# ---- module ----------------------------------------------------------------------------------------------------------


def test_module_is_the_mean_over_levels_of_both_parts():
    students, teachers = (draw((3, 4, 6, 8), (3, 4, 3, 4), seed=seed) for seed in (0, 1))
    loss = FGDLoss(channels=4, levels=2, global_weight=0.5, loss_weight=3.0)
    expected = 0
    for student, teacher in zip(students, teachers, strict=True):
        masks = foreground_masks(BOXES, student.shape[2:], IMAGE)
        # the context blocks begin as the identity
        expected += fgd_focal_loss(student, teacher, *masks) + 0.5 * F.mse_loss(student, teacher)
    torch.testing.assert_close(loss(students, teachers, samples()), 3 * expected / 2)
    single = FGDLoss(global_weight=0)
    masks = foreground_masks(BOXES, (6, 8), IMAGE)
    torch.testing.assert_close(
        single(students[0], teachers[0], samples()), fgd_focal_loss(students[0], teachers[0], *masks)
    )


def test_every_parameter_gets_a_gradient_and_the_teacher_none():
    student, teacher = (x.requires_grad_() for x in draw((3, 4, 6, 8), (3, 4, 6, 8)))
    loss = FGDLoss(channels=4)
    loss(student, teacher, samples()).backward()
    assert all(p.grad is not None for p in loss.parameters())
    assert loss.teacher_contexts[0].transform[-1].weight.grad.any()
    assert student.grad.any() and teacher.grad is None


@pytest.mark.parametrize('options', grid(global_weight=(0.0, 1.0), reduction=('mean', 'batch_sum')))
def test_half_precision_and_autocast_are_computed_in_float32(options):
    student, teacher = (x.bfloat16() for x in draw((3, 4, 6, 8), (3, 4, 6, 8)))
    loss = FGDLoss(channels=4, **options)
    expected = loss(student.float(), teacher.float(), samples())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual = loss(student, teacher, samples())
    assert actual.dtype == torch.float32 and torch.equal(actual, expected)
    loss = FGDLoss(channels=4, align='student', **options)
    student, teacher = student.requires_grad_(), teacher[..., :5]
    actual = loss(student, teacher, samples())
    assert torch.equal(actual, loss(student.float(), teacher.float(), samples()))
    actual.backward()
    assert student.grad.dtype == torch.bfloat16


def test_value_does_not_grow_with_the_batch():
    student, teacher = draw((3, 4, 6, 8), (3, 4, 6, 8))
    loss = FGDLoss(channels=4)
    twice = loss(torch.cat([student] * 2), torch.cat([teacher] * 2), samples() * 2)
    torch.testing.assert_close(twice, loss(student, teacher, samples()))


@pytest.mark.parametrize('align', ['student', 'teacher'])
def test_unequal_sizes_are_aligned(align):
    student, teacher = draw((3, 4, 6, 8), (3, 4, 5, 7))
    size = (6, 8) if align == 'student' else (5, 7)
    resized = [F.interpolate(x, size, mode='bilinear') for x in (student, teacher)]
    loss = FGDLoss(channels=4, align=align)
    torch.testing.assert_close(loss(student, teacher, samples()), FGDLoss(channels=4)(*resized, samples()))


def test_boxes_may_be_mmdets_and_pixels_are_those_of_the_padded_batch():
    from mmdet.structures.bbox import HorizontalBoxes

    student, teacher = draw((3, 4, 6, 8), (3, 4, 6, 8))
    boxes = [HorizontalBoxes(box) for box in BOXES]
    loss = FGDLoss(global_weight=0)
    assert torch.equal(loss(student, teacher, samples(boxes)), loss(student, teacher, samples()))
    # half of the image is padding: the map's cells are twice as large
    assert not torch.equal(loss(student, teacher, samples(size=(96, 128))), loss(student, teacher, samples()))


def test_mistakes_are_named():
    student, teacher = draw((3, 4, 6, 8), (3, 4, 6, 8))
    with pytest.raises(ValueError, match='channels: the number of channels was expected'):
        FGDLoss()
    with pytest.raises(ValueError, match="reduction: .* 'sum'"):
        FGDLoss(4, reduction='sum')
    with pytest.raises(ValueError, match='temperature'):
        FGDLoss(4, temperature=0)
    loss = FGDLoss(channels=8)
    with pytest.raises(ValueError, match=r'channels=8, but the features are \(3, 4, 6, 8\)'):
        loss(student, teacher, samples())
    with pytest.raises(ValueError, match='levels_S has 2 levels, levels_T 2, levels=1'):
        loss([student] * 2, [teacher] * 2, samples())
    with pytest.raises(ValueError, match='boxes of 1 images for 3'):
        loss(student, teacher, samples(BOXES[:1]))
    with pytest.raises(ValueError, match='no gt_instances.bboxes'):
        loss(student, teacher, [BaseDataElement(metainfo=dict(img_shape=IMAGE))])
    with pytest.raises(ValueError, match="spatial sizes.*align='student'"):
        loss(student, teacher[..., :4], samples())


def test_module_survives_pickle_and_deepcopy_and_is_registered():
    loss = MODELS.build(dict(type='mmkd.FGDLoss', channels=4, loss_weight=2.5))
    student, teacher = draw((3, 4, 6, 8), (3, 4, 6, 8))
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        assert torch.equal(other(student, teacher, samples()), loss(student, teacher, samples()))
    assert 'loss_weight=2.5' in repr(loss) and 'global_weight=1.0' in repr(loss)
