"""Numbers that the original implementations give on inputs from a seeded generator.

The draws have to be made in the original order, also those whose tensors are not used here.
"""

import pytest
import torch
from torch.nn.functional import interpolate

from mmkd.distillation.losses import (
    attention_transfer_loss,
    feature_mse_loss,
    overhaul_loss,
    overhaul_margin,
    pair_wise_loss,
    pixel_wise_loss,
)


def stream():
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator), generator


@pytest.fixture(scope='module')
def structured():
    """The inputs of the DeepLabV3+ and of the structured-knowledge-distillation numbers: one stream."""
    randn, generator = stream()
    names = dict(fS=(2, 6, 33, 33), fT=(2, 8, 33, 33), hS=(2, 8, 12, 10), hT=(2, 8, 12, 10))
    names |= dict(src=(2, 4, 3, 3), tgt=(2, 4, 3, 3), logits=(3, 5, 7, 7))
    tensors = {name: randn(*shape) for name, shape in names.items()}
    tensors['labels'] = torch.randint(0, 5, (3, 7, 7), generator=generator)
    tensors['labels'][0, 0, :] = 255
    names = dict(pS=(2, 19, 9, 9), pT=(2, 19, 9, 9), pspS=(2, 128, 65, 65), pspT=(2, 512, 65, 65))
    return tensors | {name: randn(*shape) for name, shape in names.items()}


def test_centermask_kd():
    randn, _ = stream()
    logits = [[randn(2, 5, size, size) for size in (8, 4, 2, 1, 1)] for _ in range(2)]
    shapes = ((2, 4, 16, 16), (2, 6, 8, 8), (2, 8, 4, 4), (2, 10, 2, 2), (2, 7, 1, 1))
    features = [[randn(*shape) for shape in shapes] for _ in range(2)]
    kl = sum(map(pixel_wise_loss, *logits))
    ce = sum(pixel_wise_loss(s, t, mode='ce') for s, t in zip(*logits, strict=True))
    assert kl.item() == pytest.approx(3.5231263637542725, rel=1e-5)
    assert ce.item() == pytest.approx(9.89480209350586, rel=1e-5)
    assert sum(map(feature_mse_loss, *features)).item() == pytest.approx(10.604676246643066, rel=1e-5)


def test_deeplabv3plus_kd(structured):
    pair = pair_wise_loss(structured['fS'], structured['fT'])
    assert pair.item() == pytest.approx(0.026049308478832245, rel=1e-5)
    pixel = pixel_wise_loss(structured['hS'], structured['hT'], reduction='class_mean')
    assert pixel.item() == pytest.approx(0.09829235821962357, rel=1e-5)


@pytest.mark.parametrize('normalize, value', [('column', 0.029448671266436577), ('map', 0.0030865187291055918)])
def test_deeplabv3plus_kd_attention(structured, normalize, value):
    loss = attention_transfer_loss(structured['hS'], structured['hT'], normalize=normalize)
    assert loss.item() == pytest.approx(value, rel=1e-5)


def test_deeplabv3plus_kd_overhaul(structured):
    margin = overhaul_margin(torch.tensor([1, 0.5, 2, 0.1]), torch.tensor([0, 0.3, -1, 0.9]))
    expected = [-0.7978845834732056, -0.30751287937164307, -2.0183207988739014, -0.30000001192092896]
    assert margin.tolist() == pytest.approx(expected, rel=1e-5)
    loss = overhaul_loss(structured['src'], structured['tgt'], margin, reduction='sum')
    assert loss.item() == pytest.approx(120.74791717529297, rel=1e-5)
    loss = overhaul_loss(structured['src'], structured['tgt'], margin, reduction='batchmean')
    assert loss.item() == pytest.approx(120.74791717529297 / 2, rel=1e-5)


def test_structured_kd_pixel_wise(structured):
    student, teacher = structured['pS'], structured['pT']
    loss = pixel_wise_loss(student, teacher, mode='ce', reduction='batch_sum')
    assert loss.item() == pytest.approx(6.819252967834473, rel=1e-5)
    loss = pixel_wise_loss(student, teacher, mode='ce', reduction='batch_sum', legacy_unpermuted=True)
    assert loss.item() == pytest.approx(6.878328800201416, rel=1e-5)


@pytest.mark.parametrize('detach_norm, norm', [(True, 0.0017284068744629622), (False, 0.0017233452526852489)])
def test_structured_kd_pair_wise(structured, detach_norm, norm):
    student = structured['pspS'].clone().requires_grad_()
    loss = pair_wise_loss(student, structured['pspT'], detach_norm=detach_norm)
    loss.backward()
    assert loss.item() == pytest.approx(0.001136026461608708, rel=1e-5)
    assert student.grad.norm().item() == pytest.approx(norm, rel=1e-5)


def test_structured_kd_of_cvpr():
    randn, _ = stream()
    shapes = ((2, 19, 9, 9), (2, 19, 9, 9), (2, 6, 9, 9), (2, 10, 9, 9))
    logits_student, logits_teacher, student, teacher = (randn(*shape) for shape in shapes)
    upsampled = [
        interpolate(x, scale_factor=8, mode='bilinear', align_corners=True) for x in (logits_student, logits_teacher)
    ]
    kd = pixel_wise_loss(*upsampled, reduction='class_mean')
    assert kd.item() == pytest.approx(0.02079620771110058, rel=1e-5)
    # the student at full size already: only the teacher is resized
    loss = pixel_wise_loss(upsampled[0], logits_teacher, reduction='class_mean', align='student', align_corners=True)
    torch.testing.assert_close(loss, kd)
    full = dict(pool=None, detach_norm=False, eps=0.0)
    assert pair_wise_loss(student, teacher, **full).item() == pytest.approx(0.26870301365852356, rel=1e-5)
    on_logits = pair_wise_loss(logits_student, logits_teacher, **full)
    assert on_logits.item() == pytest.approx(0.10422135889530182, rel=1e-5)
