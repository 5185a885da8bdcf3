"""Distillation of the mask branch: the teacher's masks and mask IoUs on the student's RoIs."""

import pytest
import torch
from helpers.detection_toys import BOXES, batch, build, image_sample, teacher_config
from mmdet.structures.bbox import bbox2roi
from torch.nn.functional import logsigmoid

MASK = dict(taps=dict(student='roi_head.mask_loss', teacher='neck'))


def algorithm_with(**loss):
    teacher = loss.pop('teacher', None)
    return build(dict(mask=dict(MASK, loss=dict(type='MaskBranchLoss', **loss))), teacher)


def watched(algorithm, inputs, samples):
    """The losses of a training step, and what the student's mask branch computed in it."""
    seen = {}
    original = algorithm.student.roi_head.mask_loss

    def mask_loss(x, sampling_results, samples):
        seen.update(original(x, sampling_results, samples), sampling_results=sampling_results)
        return seen

    algorithm.student.roi_head.mask_loss = mask_loss
    losses = algorithm.train()(inputs, samples, mode='loss')
    del algorithm.student.roi_head.mask_loss
    return losses, seen


def naive(algorithm, inputs, samples, seen, temperature=1.0, judged='student'):
    """RoI by RoI and cell by cell, from the teacher's pyramid of the same image."""
    teacher = algorithm.teacher.model
    pyramid = teacher.extract_feat(inputs)
    boxes = [result.pos_priors for result in seen['sampling_results']]
    labels = torch.cat([result.pos_gt_labels for result in seen['sampling_results']])
    rois = bbox2roi(boxes)
    mask, iou = 0, 0
    for i, (roi, label) in enumerate(zip(rois, labels, strict=True)):
        shape = [samples[int(roi[0])].img_shape]
        image = [level[int(roi[0])][None] for level in pyramid]
        alone = torch.cat([roi.new_zeros(1), roi[1:]])[None]
        features = teacher.roi_head.mask_roi_extractor(image[:3], alone, img_shapes=shape)
        t = teacher.roi_head.mask_head(features)[0, label]
        s = seen['mask_preds'][i, label]
        opinion = teacher.roi_head.mask_iou_head(features, (s if judged == 'student' else t)[None].detach())
        for sign in (1, -1):
            p = torch.sigmoid(sign * t / temperature).detach()
            mask = mask + (p * (p.log() - logsigmoid(sign * s / temperature))).sum() * temperature**2 / s.numel()
        iou = iou + (seen['mask_iou_preds'][i, label] - opinion[0, label].detach()) ** 2
    return mask / len(rois), iou / len(rois)


@pytest.mark.parametrize('temperature, judged', [(1.0, 'student'), (3.0, 'teacher')])
def test_equals_the_naive_computation_in_value_and_gradient(temperature, judged):
    algorithm = algorithm_with(temperature=temperature, judged=judged, mask_iou_weight=0.25, loss_weight=2.0)
    inputs, samples = batch(algorithm)
    losses, seen = watched(algorithm, inputs, samples)
    mask, iou = naive(algorithm, inputs, samples, seen, temperature, judged)
    assert len(seen['pos_labels']) >= 4 and len(set(seen['pos_labels'].tolist())) == 3
    for name, expected in (('mask', 2 * mask), ('iou', 0.5 * iou)):
        actual = losses[f'distill.loss_mask_{name}']
        assert expected > 0
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-7)
        wanted = torch.autograd.grad(expected, algorithm.student.neck.lateral_convs[0].conv.weight, retain_graph=True)
        got = torch.autograd.grad(actual, algorithm.student.neck.lateral_convs[0].conv.weight, retain_graph=True)
        assert wanted[0].abs().max() > 0
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-6)


def test_whose_mask_the_teacher_judges_makes_a_difference():
    iou = {}
    for judged in ('student', 'teacher'):
        algorithm = algorithm_with(judged=judged)
        torch.manual_seed(0)
        iou[judged] = algorithm.train()(*batch(algorithm), mode='loss')['distill.loss_mask_iou']
    assert iou['student'] != iou['teacher']


def test_gradient_reaches_the_students_mask_branch_and_nothing_of_the_teacher():
    algorithm = algorithm_with()
    losses = algorithm.train()(*batch(algorithm), mode='loss')
    (losses['distill.loss_mask_mask'] + losses['distill.loss_mask_iou']).backward()
    head = algorithm.student.roi_head
    for module in (head.mask_head, head.mask_iou_head, algorithm.student.neck, algorithm.student.backbone):
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())
    assert all(p.grad is None for p in algorithm.teacher.model.parameters())
    assert all(p.grad is None for p in algorithm.student.bbox_head.parameters())


def test_other_classes_than_that_of_the_roi_get_no_gradient():
    algorithm = algorithm_with()
    losses = algorithm.train()(*batch(algorithm, image_sample(BOXES, [1, 1, 1])), mode='loss')
    losses['distill.loss_mask_mask'].backward()
    gradient = algorithm.student.roi_head.mask_head.conv_logits.weight.grad.abs().amax(dim=(1, 2, 3))
    assert gradient[1] > 0 and gradient[[0, 2]].max() == 0


def test_a_student_that_equals_its_teacher_has_nothing_to_learn():
    algorithm = algorithm_with(teacher=teacher_config(8))
    algorithm.teacher.model.load_state_dict(algorithm.student.state_dict())
    algorithm.eval()  # the batch norms of the tiny backbone as in the teacher
    losses = algorithm(*batch(algorithm), mode='loss')
    for name in ('mask', 'iou'):
        assert losses[f'distill.loss_mask_{name}'].item() == pytest.approx(0, abs=1e-6)


def test_without_rois_the_losses_are_zero_with_a_graph_and_the_teacher_is_not_asked(monkeypatch):
    algorithm = algorithm_with()
    inputs, samples = batch(algorithm, image_sample(), image_sample())
    algorithm.prepare()
    monkeypatch.setattr(algorithm.teacher.model.roi_head, 'mask_forward', None)
    losses = algorithm.train()(inputs, samples, mode='loss')
    total = losses['distill.loss_mask_mask'] + losses['distill.loss_mask_iou']
    assert total == 0
    total.backward()
    for head in (algorithm.student.roi_head.mask_head, algorithm.student.roi_head.mask_iou_head):
        assert all(p.grad is not None and p.grad.abs().max() == 0 for p in head.parameters())


def test_an_image_without_objects_beside_one_with_objects():
    algorithm = algorithm_with()
    losses, seen = watched(algorithm, *batch(algorithm, image_sample(), image_sample(BOXES, [0, 1, 2])))
    assert set(seen['pos_rois'][:, 0].tolist()) == {1.0}
    assert losses['distill.loss_mask_mask'] > 0


def test_mask_iou_may_be_left_out():
    config = teacher_config()
    config['roi_head']['mask_iou_head'] = None
    algorithm = algorithm_with(teacher=config, mask_iou_weight=0.0)
    losses = algorithm.train()(*batch(algorithm), mode='loss')
    assert {key for key in losses if 'distill' in key} == {'distill.loss_mask_mask'}
    algorithm = algorithm_with(teacher=config)
    with pytest.raises(ValueError, match=r'distill.mask: teacher.roi_head.mask_iou_head: .* mask_iou_weight=0'):
        algorithm.train()(*batch(algorithm), mode='loss')


def test_a_teacher_of_other_classes_is_refused():
    algorithm = algorithm_with(teacher=teacher_config(num_classes=5))
    with pytest.raises(ValueError, match=r'distill.mask: roi_head.mask_head: .* 3, 28, 28\) .* 5, 28, 28\)'):
        algorithm.train()(*batch(algorithm), mode='loss')


def test_mixed_precision_and_a_teacher_in_half_precision():
    algorithm = algorithm_with()
    inputs, samples = batch(algorithm)
    torch.manual_seed(0)
    expected = algorithm.train()(inputs, samples, mode='loss')['distill.loss_mask_mask']
    algorithm.teacher.dtype = torch.bfloat16
    torch.manual_seed(0)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = algorithm(inputs, samples, mode='loss')['distill.loss_mask_mask']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.1, atol=1e-3)
