"""A discriminator that judges the class maps of several levels of a detector."""

import copy

import helpers.distillation_toys  # noqa: F401  registers ToyDetector
import pytest
import torch
from helpers.adversarial_toys import build, images, optimizers

LINEAR = dict(type='LinearDiscriminator', in_channels=3)
TAPS = 'bbox_head.conv_cls'


def detectors(holistic=None):
    """A toy detector of three levels with its teacher, and the discriminator D(x) = w . mean(x) + b."""
    return build(
        dict(dict(discriminator=LINEAR, taps=TAPS, levels='all'), **(holistic or {})),
        student=dict(type='mmkd.ToyDetector', dropout=0.0, data_preprocessor=dict(type='ImgDataPreprocessor')),
        teacher=dict(type='mmkd.ToyDetector', channels=8, allow_random=True),
        distill=None,
    )


def class_maps(model, data):
    model = copy.deepcopy(model)
    inputs = torch.stack(data['inputs'])
    return [level.detach() for level in model(inputs, mode='tensor')]


def test_the_term_is_the_mean_over_the_levels():
    algorithm = detectors()
    discriminator = algorithm.discriminator
    scores = [discriminator(level).mean() for level in class_maps(algorithm.student, images())]
    assert len(scores) == 3
    inputs = algorithm.data_preprocessor(images(), True)
    loss = algorithm(**inputs, mode='loss')['distill.loss_holistic']
    torch.testing.assert_close(loss, -0.1 * torch.stack(scores).mean())
    one = detectors(dict(levels=(1,)))(**inputs, mode='loss')['distill.loss_holistic']
    torch.testing.assert_close(one, -0.1 * scores[1])
    first = detectors(dict(levels=None))(**inputs, mode='loss')['distill.loss_holistic']
    torch.testing.assert_close(first, -0.1 * scores[0])


def test_the_discriminator_learns_from_every_level_alike():
    # hinge without penalty, D = 0, so that both hinges are open: dL/dw = .1 x mean over levels of (mean S - mean T)
    algorithm = detectors(dict(mode='hinge'))
    for parameter in algorithm.discriminator.parameters():
        torch.nn.init.zeros_(parameter)
    levels = zip(class_maps(algorithm.student, images()), class_maps(algorithm.teacher.model, images()), strict=True)
    slopes = [student.mean(dim=(0, 2, 3)) - teacher.mean(dim=(0, 2, 3)) for student, teacher in levels]
    algorithm.train_step(images(), optimizers(algorithm, of_discriminator=dict(optimizer=dict(type='SGD', lr=1.0))))
    expected = -0.1 * torch.stack(slopes).mean(dim=0)
    torch.testing.assert_close(algorithm.discriminator.linear.weight[0], expected)
    assert expected.abs().max() > 0 and algorithm.adversary.judged == []


@pytest.mark.parametrize(('levels', 'message'), [((0, 7), 'holistic: .*7'), ('P3', 'holistic.levels: indices')])
def test_a_wrong_level_is_named(levels, message):
    with pytest.raises(ValueError, match=message):
        detectors(dict(levels=levels))
