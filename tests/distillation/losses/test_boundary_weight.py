"""The weight of the pixel-wise loss along borders between classes."""

import pytest
import torch
from helpers.loss_tester import assert_same, draw, grid, value_and_gradient
from mmengine.structures import BaseDataElement, PixelData
from torch.nn import functional as F

from mmkd.distillation.losses import LogitStandardized, PixelWiseLoss, pixel_wise_loss
from mmkd.distillation.losses.boundary import boundary_map, predicted_classes
from mmkd.distillation.losses.context import asked_for


def naive_map(labels, width, ignore_index=255):
    number, height, the_width = labels.shape
    near = torch.zeros_like(labels, dtype=torch.bool)
    for n in range(number):
        for y in range(height):
            for x in range(the_width):
                own = labels[n, y, x].item()
                for v in range(max(y - width, 0), min(y + width + 1, height)):
                    for u in range(max(x - width, 0), min(x + width + 1, the_width)):
                        other = labels[n, v, u].item()
                        if ignore_index not in (own, other) and own != other:
                            near[n, y, x] = True
    return near


def blocks(seed=0, size=(2, 9, 11)):
    """Class maps with areas of one class, and of none."""
    labels = torch.randint(0, 4, (size[0], 3, 4), generator=torch.Generator().manual_seed(seed))
    labels = F.interpolate(labels[:, None].float(), size[1:], mode='nearest')[:, 0].long()
    return torch.where(labels == 3, 255, labels)


@pytest.mark.parametrize('width', [1, 2, 20])
@pytest.mark.parametrize('seed', [0, 1])
def test_map_equals_the_naive_one(width, seed):
    labels = blocks(seed)
    expected = naive_map(labels, width)
    assert torch.equal(boundary_map(labels, width), expected)
    assert expected.any() and not expected.all()


def test_map_worked_by_hand():
    labels = torch.tensor([[[0, 0, 0, 1, 1, 255, 255, 2]]])
    assert boundary_map(labels).tolist() == [[[False, False, True, True, False, False, False, False]]]
    # two columns on: 2 and the 1 before the unlabelled pixels are three apart
    assert boundary_map(labels, width=2).tolist() == [[[False, True, True, True, True, False, False, False]]]


def test_predicted_class_of_sigmoids_is_background_where_none_is_likely():
    logits = torch.tensor([[2.0, -1.0], [3.0, -2.0]]).view(1, 2, 1, 2)
    assert predicted_classes(logits, 'softmax').tolist() == [[[1, 0]]]
    assert predicted_classes(logits, 'sigmoid').tolist() == [[[1, 2]]]


@pytest.mark.parametrize('options', grid(activation=('softmax', 'sigmoid'), width=(1, 2), temperature=(1.0, 4.0)))
def test_loss_equals_the_naive_weighted_mean(options):
    student, teacher = draw((2, 4, 5, 6), (2, 4, 5, 6), dtype=torch.float64)
    # areas of one class: otherwise everything is near a border
    teacher = F.interpolate(teacher[..., ::2, ::3], (5, 6), mode='nearest')
    width, kinds = options['width'], {k: v for k, v in options.items() if k != 'width'}

    def naive(s, t):
        labels = t.argmax(1)
        if options['activation'] == 'sigmoid':
            labels[t.amax(1) <= 0] = 4
        near = naive_map(labels, width)
        total = weight = 0
        for n in range(2):
            for y in range(5):
                for x in range(6):
                    w = 3.0 if near[n, y, x] else 1.0
                    pixel = pixel_wise_loss(
                        s[n : n + 1, :, y : y + 1, x : x + 1], t[n : n + 1, :, y : y + 1, x : x + 1], **kinds
                    )
                    total, weight = total + w * pixel, weight + w
        return total / weight

    loss = PixelWiseLoss(boundary_weight=3.0, boundary_width=width, **kinds)
    expected = value_and_gradient(naive, student, teacher)
    for a, e in zip(value_and_gradient(loss, student, teacher), expected, strict=True):
        assert_same(a, e, 1e-6)  # the weights are float32
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student.requires_grad_())


@pytest.mark.parametrize('align', ['student', 'teacher'])
def test_borders_of_the_teacher_are_those_at_the_compared_size(align):
    student, teacher = draw((2, 4, 8, 6), (2, 4, 5, 7))
    sized = [F.interpolate(x, (8, 6) if align == 'student' else (5, 7), mode='bilinear') for x in (student, teacher)]
    loss = PixelWiseLoss(activation='softmax', boundary_weight=3.0, align=align)(student, teacher)
    torch.testing.assert_close(loss, PixelWiseLoss(activation='softmax', boundary_weight=3.0)(*sized))


def test_borders_of_the_label_are_read_from_the_data_samples():
    student, teacher = draw((2, 4, 9, 11), (2, 4, 9, 11))
    labels = blocks()
    samples = [BaseDataElement(gt_sem_seg=PixelData(data=label[None])) for label in labels]
    loss = PixelWiseLoss(activation='softmax', boundary_weight=3.0, boundary_of='label')
    weights = 1 + 2 * naive_map(labels, 1).float()
    expected = pixel_wise_loss(student, teacher, mask=weights)
    torch.testing.assert_close(loss(student, teacher, data_samples=samples), expected)
    torch.testing.assert_close(loss([student] * 2, [teacher] * 2, data_samples=samples), expected)
    keep = torch.rand(2, 9, 11) > 0.5
    masked = loss(student, teacher, mask=keep, data_samples=samples)
    torch.testing.assert_close(masked, pixel_wise_loss(student, teacher, mask=weights * keep))
    with pytest.raises(ValueError, match="boundary_of='label': .* no gt_sem_seg"):
        loss(student, teacher, data_samples=[BaseDataElement()])


def test_data_samples_are_needed_only_where_they_are_read():
    student, teacher = draw((2, 4, 5, 6), (2, 4, 5, 6))
    with pytest.raises(ValueError, match="boundary_of='label': it needs class maps, and there are none"):
        PixelWiseLoss(activation='softmax', boundary_weight=2.0, boundary_of='label')(student, teacher)
    for options in (dict(boundary_weight=2.0), dict(boundary_of='label')):
        assert PixelWiseLoss(activation='softmax', **options)(student, teacher) > 0


def test_half_precision_has_the_same_borders():
    student, teacher = (x.bfloat16() for x in draw((2, 4, 5, 6), (2, 4, 8, 9)))
    loss = PixelWiseLoss(activation='softmax', boundary_weight=3.0, align='student')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(student, teacher)
    assert torch.equal(value, loss(student.float(), teacher.float()))


def test_it_goes_with_logit_standardisation():
    student, teacher = draw((2, 4, 5, 6), (2, 4, 5, 6))
    inner = dict(type='PixelWiseLoss', activation='softmax', boundary_weight=3.0)
    assert LogitStandardized(loss=inner)(student, teacher) > 0
    label = LogitStandardized(loss=dict(inner, boundary_of='label'))
    assert 'data_samples' in asked_for(label)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(boundary_weight=0), 'boundary_weight: expected a number above 0'),
        (dict(boundary_width=0), 'boundary_width: expected a number above 0'),
        (dict(boundary_of='student'), "boundary_of: .* 'student'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PixelWiseLoss(**options)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r'class maps \(N, H, W\), but got \(3, 4\)'):
        boundary_map(torch.zeros(3, 4))
    with pytest.raises(ValueError, match='width: expected a whole number of at least 1, but got 0'):
        boundary_map(torch.zeros(1, 3, 4), width=0)
    with pytest.raises(ValueError, match=r'logits \(N, C, H, W\), but got \(6, 4\)'):
        PixelWiseLoss(activation='softmax', boundary_weight=2.0)(*draw((6, 4), (6, 4)))
    with pytest.raises(ValueError, match='different batch sizes'):
        PixelWiseLoss(activation='softmax', boundary_weight=2.0)(*draw((2, 4, 3, 3), (1, 4, 3, 3)))


def test_repr_names_the_option():
    assert "boundary_weight=3.0, boundary_of='teacher'" in repr(PixelWiseLoss(boundary_weight=3.0))
