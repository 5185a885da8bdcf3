"""Teacher-bounded box and centreness losses of the heads of two detectors."""

import pytest
import torch
from helpers.detection_toys import BOXES, batch, build, image_sample, teacher_config

NAMES = ('bbox', 'centerness')


def algorithm_with(teacher=None, **loss):
    return build(dict(bounded=dict(taps='bbox_head', loss=dict(type='TeacherBoundedLoss', **loss))), teacher)


def outputs_of(algorithm, inputs):
    return [model.bbox_head(model.extract_feat(inputs)) for model in (algorithm.student, algorithm.teacher.model)]


def added(losses):
    return [losses[f'distill.loss_bounded_{name}'] for name in NAMES]


def naive_shares(algorithm, inputs, samples):
    """The losses of every positive location, for student and teacher, one at a time."""
    head = algorithm.student.bbox_head
    (student, teacher), shares = outputs_of(algorithm, inputs), {}
    sizes = [level.shape[-2:] for level in student[0]]
    points = head.prior_generator.grid_priors(sizes, device='cpu')
    labels, targets = (torch.cat(x) for x in head.get_targets(points, [sample.gt_instances for sample in samples]))
    positive = (labels < head.num_classes).nonzero().flatten().tolist()
    true_center = {i: head.centerness_target(targets[i : i + 1])[0] for i in positive}
    total = sum(true_center.values())
    for side, (_, boxes, centers) in (('student', student), ('teacher', teacher)):
        boxes = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, 4) for x in boxes])
        centers = torch.cat([x.permute(0, 2, 3, 1).reshape(-1) for x in centers])
        box, center = [], []
        for i in positive:
            box.append(head.loss_bbox(boxes[i : i + 1], targets[i : i + 1]) * true_center[i] / total)
            p = centers[i].sigmoid()
            center.append(-(true_center[i] * p.log() + (1 - true_center[i]) * (1 - p).log()) / len(positive))
        shares[side] = torch.stack(box), torch.stack(center)
    return shares


@pytest.mark.parametrize('compare', ['location', 'batch'])
def test_equals_the_naive_computation_in_value_and_gradient(compare):
    algorithm = algorithm_with(compare=compare, loss_weight=0.5).train()
    inputs, samples = batch(algorithm)
    losses = algorithm(inputs, samples, mode='loss')
    shares = naive_shares(algorithm, inputs, samples)
    weight = algorithm.student.neck.lateral_convs[0].conv.weight
    for actual, student, teacher in zip(added(losses), shares['student'], shares['teacher'], strict=True):
        if compare == 'location':
            expected = sum(0.5 * s for s, t in zip(student, teacher, strict=True) if s > t)
            assert 0 < (student > teacher).sum() < len(student)
        else:
            expected = 0.5 * student.sum() * float(student.sum() > teacher.sum())
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
        if expected > 0:
            wanted, got = (torch.autograd.grad(x, weight, retain_graph=True)[0] for x in (expected, actual))
            torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('better', ['teacher', 'student'])
def test_on_the_batch_the_sum_with_the_hard_loss_is_that_of_centermask_kd(better):
    algorithm = algorithm_with(compare='batch').train()
    worse = algorithm.student if better == 'teacher' else algorithm.teacher.model
    for conv in (worse.bbox_head.conv_reg, worse.bbox_head.conv_centerness):
        torch.nn.init.constant_(conv.bias, 30.0)
    inputs, samples = batch(algorithm)
    losses = algorithm(inputs, samples, mode='loss')
    for name, extra in zip(NAMES, added(losses), strict=True):
        hard = losses[f'student.loss_{name}']
        torch.testing.assert_close(hard + extra, hard * (1.5 if better == 'teacher' else 1.0))


def test_the_shares_sum_to_the_losses_of_the_head():
    algorithm = algorithm_with()
    inputs, samples = batch(algorithm)
    instances = [sample.gt_instances for sample in samples]
    outputs = outputs_of(algorithm, inputs)[0]
    head = algorithm.student.bbox_head
    expected = head.loss_by_feat(*outputs, instances, [])
    shares = head.positive_losses(*outputs[1:], head.find_positives(outputs[0], instances))
    for name, share in zip(NAMES, shares, strict=True):
        assert share.ndim == 1 and len(share) > 3
        torch.testing.assert_close(share.sum(), expected[f'loss_{name}'])


def test_the_teacher_gets_no_gradient_and_the_student_is_worse_than_itself_nowhere():
    algorithm = algorithm_with(teacher=teacher_config(8))
    algorithm.train()
    losses = added(algorithm(*batch(algorithm), mode='loss'))
    sum(losses).backward()
    assert all(p.grad is None for p in algorithm.teacher.model.parameters())
    assert algorithm.student.bbox_head.conv_reg.weight.grad.abs().max() > 0
    algorithm.teacher.model.load_state_dict(algorithm.student.state_dict())
    algorithm.eval()  # the batch norms of the tiny backbone as in the teacher
    assert [loss.item() for loss in added(algorithm(*batch(algorithm), mode='loss'))] == [0, 0]


def test_without_positives_the_losses_are_zero_with_a_graph():
    algorithm = algorithm_with().train()
    losses = added(algorithm(*batch(algorithm, image_sample(), image_sample()), mode='loss'))
    assert [loss.item() for loss in losses] == [0, 0]
    sum(losses).backward()
    assert algorithm.student.bbox_head.conv_reg.weight.grad.abs().max() == 0


def test_the_teacher_stops_at_its_box_head():
    algorithm = algorithm_with().train()
    inputs, samples = batch(algorithm, image_sample(BOXES, [0, 1, 2]))
    algorithm(inputs, samples, mode='loss')

    def fail(*args, **kwargs):
        raise AssertionError('not needed')

    algorithm.teacher.model.roi_head.forward = fail
    algorithm.teacher.model.bbox_head.loss_by_feat = fail
    algorithm(inputs, samples, mode='loss')


def test_heads_that_cannot_be_compared_are_refused_before_training():
    config = teacher_config()
    config['bbox_head']['bbox_reg'] = 'exp_pixel'
    with pytest.raises(ValueError, match="distill.bounded: bbox_head.bbox_reg: .* 'relu_stride' and 'exp_pixel'"):
        algorithm_with(teacher=config).prepare()
    with pytest.raises(ValueError, match="compare: expected one of 'location', 'batch', but got 'image'"):
        algorithm_with(compare='image')
