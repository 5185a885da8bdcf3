"""Images without labels give the distillation losses, exactly, and nothing else."""

import copy

import pytest
import torch
from helpers.adversarial_toys import build as build_adversarial
from helpers.adversarial_toys import optimizers
from helpers.distillation_toys import TEACHER, batch, build
from mmengine.structures import BaseDataElement


def samples(*labelled):
    """Data samples, of which some are marked as unlabelled."""
    return [BaseDataElement(metainfo={} if mark else dict(unlabelled=True)) for mark in labelled]


def gradients(algorithm, losses):
    algorithm.zero_grad()
    total, _ = algorithm.parse_losses(losses)
    total.backward()
    return {name: p.grad.clone() for name, p in algorithm.named_parameters() if p.grad is not None}


def own(losses):
    return {name: value for name, value in losses.items() if name.startswith('student.')}


def of_teacher(losses):
    return {name: value for name, value in losses.items() if name.startswith('distill.')}


def assert_same(a, b):
    assert a.keys() == b.keys() and a
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], msg=name)


def test_the_students_losses_are_those_of_the_labelled_images_alone():
    algorithm, images = build(), batch(images=4)
    mixed = algorithm(images, samples(True, False, False, True), mode='loss')
    alone = build()(images[[0, 3]], samples(True, True), mode='loss')
    assert_same(own(mixed), own(alone))


@pytest.mark.parametrize('marks', [(True, False, True, True), (False, False, True, False), (True, True, False, False)])
def test_the_distillation_losses_are_the_mean_over_all_images(marks):
    images = batch(images=4)
    mixed = of_teacher(build()(images, samples(*marks), mode='loss'))
    parts = []
    for wanted in (True, False):
        indices = [i for i, mark in enumerate(marks) if mark == wanted]
        losses = of_teacher(build()(images[indices], samples(*[True] * len(indices)), mode='loss'))
        parts.append({name: value * len(indices) / 4 for name, value in losses.items()})
    assert_same(mixed, {name: parts[0][name] + parts[1][name] for name in parts[0]})


def test_a_batch_without_labels_trains_as_the_distillation_losses_alone():
    images = batch(images=3)
    algorithm, reference = build(), build(calculate_student_loss=False)
    losses = algorithm(images, samples(False, False, False), mode='loss')
    assert_same(of_teacher(losses), of_teacher(reference(images, mode='loss')))
    assert losses.pop('student.loss_unlabelled').item() == 0
    assert set(losses) == {'distill.loss_fpn', 'distill.loss_cls'}
    losses = algorithm(images, samples(False, False, False), mode='loss')
    found = gradients(algorithm, losses)
    wanted = gradients(reference, reference(images, mode='loss'))
    # the layer that only labels train has a gradient of zero, without which DistributedDataParallel would wait for one
    auxiliary = {name: found.pop(name) for name in list(found) if 'auxiliary_head' in name}
    assert len(auxiliary) == 2 and all(value.abs().max() == 0 for value in auxiliary.values())
    assert_same(found, {name: value for name, value in wanted.items() if 'auxiliary_head' not in name})


def test_the_students_loss_is_not_computed_of_unlabelled_images():
    algorithm = build()
    algorithm.prepare()
    algorithm.student.bbox_head.losses_computed = 0
    algorithm(batch(), samples(False, False), mode='loss')
    assert algorithm.student.bbox_head.losses_computed == 0
    algorithm(batch(), samples(True, False), mode='loss')
    assert algorithm.student.bbox_head.losses_computed == 1


def test_images_with_labels_are_trained_as_ever():
    images = batch()
    assert_same(build()(images, samples(True, True), mode='loss'), build()(images, mode='loss'))


def test_once_distillation_has_stopped_only_labels_are_learned_from():
    algorithm = build()
    algorithm.distillation_stopped = True
    images = batch(images=4)
    losses = algorithm(images, samples(True, False, True, False), mode='loss')
    alone = copy.deepcopy(algorithm)(images[[0, 2]], samples(True, True), mode='loss')
    assert_same(losses, alone)


def test_what_needs_labels_is_refused():
    class Boxes(torch.nn.Module):
        def forward(self, preds_S, preds_T, data_samples):
            return (preds_S.sum() - preds_T.sum()).abs()

    algorithm = build(dict(cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss'))))
    algorithm.prepare()
    algorithm.distiller.distill_losses['loss_cls'] = Boxes()
    algorithm(batch(), samples(True, True), mode='loss')
    with pytest.raises(ValueError, match='distill: loss_cls looks at the labels, and there are images without'):
        algorithm(batch(), samples(True, False), mode='loss')
    algorithm = build(teacher=dict(TEACHER, mode='loss'))
    with pytest.raises(ValueError, match="teacher.mode='loss' computes losses of the labels"):
        algorithm(batch(), samples(False, False), mode='loss')


def test_a_discriminator_learns_from_images_without_labels_too():
    # hinge, D = 0: dL/dw = .1 x mean over all images of (mean S - mean T), with 1 labelled image and 3 unlabelled ones
    linear = dict(mode='hinge', discriminator=dict(type='LinearDiscriminator'))
    algorithm = build_adversarial(linear)
    algorithm.student.backbone[1].eval()  # the mean over the images is then that over the parts
    for parameter in algorithm.discriminator.parameters():
        torch.nn.init.zeros_(parameter)
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        maps = [copy.deepcopy(model)(inputs) for model in (algorithm.student, algorithm.teacher.model)]
    slope = (maps[0] - maps[1]).mean(dim=(0, 2, 3))
    data = dict(inputs=list(inputs), data_samples=samples(False, True, False, False))
    log = algorithm.train_step(data, optimizers(algorithm, of_discriminator=dict(optimizer=dict(type='SGD', lr=1.0))))
    torch.testing.assert_close(algorithm.discriminator.linear.weight[0], -0.1 * slope)
    assert {'student.loss_ce', 'distill.loss_pi', 'distill.loss_holistic'} <= set(log)
