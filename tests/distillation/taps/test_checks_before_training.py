"""What is checked before training: networks, taps and losses together, on images of nothing."""

import copy

import pytest
import torch
from helpers.distillation_toys import STUDENT, TEACHER, ToyDetector, batch, build, mse, toy


@pytest.mark.parametrize(
    ('distill', 'message'),
    [
        (mse(taps=dict(student='neck', teacher='nek')), "teacher has no module 'nek'; did you mean 'neck'"),
        (mse(levels=(0, 7)), r"distill.fpn: tap 'neck' of the student has the levels \[0, 1, 2\], but \[0, 7\]"),
        (
            mse(levels=(0, 7), connector='conv1x1'),
            r"^distill.fpn: tap 'neck' of the student has the levels \[0, 1, 2\], but \[0, 7\]",
        ),
        (mse(), r'distill.fpn: .*preds_S \(1, 6, 16, 16\), .*; preds_T \(1, 10, 16, 16\), '),
        (
            mse(taps='bbox_head.conv_cls', levels=dict(student=(0, 1), teacher=(0,))),
            'distill.fpn: the numbers of levels differ: preds_S 2, preds_T 1',
        ),
    ],
)
def test_mistakes_are_found_before_training(distill, message):
    with pytest.raises(ValueError, match=message):
        build(distill).init_weights()


def test_another_number_of_classes_is_found_before_training():
    distill = dict(cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss')))
    with pytest.raises(ValueError, match=r'distill.cls: .*\(1, 3, 16, 16\).*\(1, 5, 16, 16\)'):
        build(distill, teacher=dict(toy(num_classes=5), allow_random=True)).init_weights()


def test_a_wrong_tap_of_the_student_is_named_with_what_is_near():
    with pytest.raises(ValueError, match=r"the student has no module 'bbox_head.conv_clas'; .*'bbox_head.conv_cls'"):
        build(mse(taps=dict(student='bbox_head.conv_clas', teacher='neck')))


def test_the_check_leaves_no_trace():
    algorithm = build()
    algorithm.student.backbone.bn.eval()  # a frozen layer stays frozen
    state = copy.deepcopy(algorithm.state_dict())
    torch.manual_seed(1)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    algorithm.prepare()
    assert torch.equal(torch.rand(1), drawn)
    assert all(torch.equal(value, state[key]) for key, value in algorithm.state_dict().items())
    assert algorithm.student.training and not algorithm.student.backbone.bn.training
    assert not algorithm.student_recorders.recorders['fpn'].data_buffer
    assert all(parameter.grad is None for parameter in algorithm.parameters())


def test_a_teacher_that_fails_is_found_before_training():
    class Fails(ToyDetector):
        def forward(self, *args, **kwargs):
            raise RuntimeError('not implemented for BFloat16')

    with pytest.raises(ValueError, match="teacher: in mode='tensor'.*not implemented for BFloat16.*teacher.dtype"):
        build(mse(), teacher=Fails(4, 6)).init_weights()


def test_the_check_can_be_left_out():
    build(mse(), dry_run=False).init_weights()
    with pytest.raises(ValueError, match='dry_run: .*was expected'):
        build(dry_run=dict(size=32))


def test_a_student_that_cannot_be_checked_is_trained_all_the_same():
    class NeedsTargets(ToyDetector):
        def forward(self, inputs, data_samples=None, mode='tensor'):
            if mode == 'tensor':
                raise RuntimeError('not without targets')
            return super().forward(inputs, data_samples, mode)

    algorithm = build(mse(), student=NeedsTargets(4, 6), teacher=dict(STUDENT, allow_random=True))
    algorithm.init_weights()
    assert algorithm(batch(), mode='loss')['distill.loss_fpn'] > 0


def test_taps_reached_in_training_only_put_the_teacher_into_that_mode():
    distill = dict(aux=dict(taps='auxiliary_head', loss=dict(type='FeatureMSELoss')))
    algorithm = build(distill)
    algorithm.init_weights()
    assert algorithm.teacher.mode == 'loss'
    assert algorithm(batch(), mode='loss')['distill.loss_aux'] > 0
    with pytest.raises(ValueError, match="teacher.mode: in mode='tensor' .* does not reach 'auxiliary_head'"):
        build(distill, teacher=dict(TEACHER, mode='tensor')).init_weights()


def test_the_error_of_a_loss_in_training_names_it():
    algorithm = build(mse(), dry_run=False)
    with pytest.raises(ValueError, match=r'distill.fpn: .*preds_T \(2, 10, 16, 24\)'):
        algorithm(batch(), mode='loss')
