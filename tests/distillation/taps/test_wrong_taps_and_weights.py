"""Taps that do not exist, never fire or fire too often; weights that are none. One line says which, and what to do."""

import pytest
from helpers.distillation_toys import ToyDetector, batch
from torch import nn

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.recipes.holistic import HolisticOptions
from mmkd.registry import MODELS

MSE = dict(type='FeatureMSELoss')
INF, NAN = float('inf'), float('nan')


@MODELS.register_module()
class OddDetector(ToyDetector):
    """With a layer that is never called, and one that is called ``calls`` times."""

    def __init__(self, calls=2):
        super().__init__(channels=4, out_channels=6, dropout=0.0)
        self.idle = nn.Conv2d(4, 4, 1)
        self.often = nn.Conv2d(4, 4, 1)
        self.calls = calls

    def forward(self, inputs, data_samples=None, mode='tensor'):
        x = self.backbone(inputs)
        for _ in range(self.calls):
            x = self.often(x)
        return super().forward(inputs, data_samples, mode)


def build(distill=None, distiller=None, calls=(2, 2)):
    student, teacher = (dict(type='mmkd.OddDetector', calls=number) for number in calls)
    teacher['allow_random'] = True
    size = dict(size=(32, 32))
    return DenseDistill(student=student, teacher=teacher, distill=distill, distiller=distiller, dry_run=size)


def mmrazors(source='often', loss=None, **record):
    recorder = dict(x=dict(type='ModuleOutputs', source=source))
    sides = dict(preds_S=True, preds_T=False)
    mapping = {key: dict(recorder='x', from_student=side, **record) for key, side in sides.items()}
    return dict(
        type='ConfigurableDistiller',
        student_recorders=recorder,
        teacher_recorders=recorder,
        distill_losses=dict(loss_x=loss or dict(type='mmkd.FeatureMSELoss')),
        loss_forward_mappings=dict(loss_x=mapping),
    )


@pytest.fixture
def said(monkeypatch):
    messages = []
    target = 'mmkd.distillation.taps.dry_run.print_log'
    monkeypatch.setattr(target, lambda message, **kwargs: messages.append(message))
    return messages


# ---- taps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('taps', ['bakbone', dict(student='backbone', teacher='bakbone')])
def test_a_tap_that_does_not_exist_is_told_with_the_nearest_name(taps):
    with pytest.raises(ValueError, match="no module 'bakbone'; did you mean 'backbone'"):
        build(dict(x=dict(taps=taps, loss=MSE))).init_weights()


def test_a_tap_of_the_student_that_never_fires_is_told_with_what_to_do():
    algorithm = build(dict(x=dict(taps=dict(student='idle', teacher='backbone'), loss=MSE)))
    algorithm.init_weights()
    with pytest.raises(ValueError, match="distill.x: tap 'idle' of the student was not reached.* 'idle.forward'"):
        algorithm(batch(), mode='loss')


def test_a_tap_of_the_teacher_that_never_fires_is_told_with_what_to_do():
    algorithm = build(dict(x=dict(taps=dict(student='backbone', teacher='idle'), loss=MSE)))
    algorithm.init_weights()  # mode='loss' may reach it
    with pytest.raises(ValueError, match="distill.x: tap 'idle' of the teacher was not reached.* 'idle.forward'"):
        algorithm(batch(), mode='loss')


def test_a_level_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(ValueError, match=r"distill.x: tap 'neck' .* has the levels \[0, 1, 2\], but \[3\]"):
        build(dict(x=dict(taps='neck', levels=(3,), loss=MSE))).init_weights()


def test_a_tap_that_fires_more_often_in_one_network_is_told_with_what_to_do():
    algorithm = build(dict(x=dict(taps='often', loss=MSE)), calls=(2, 1))
    with pytest.raises(ValueError, match=r'distill.x: the numbers of levels differ: preds_S 2, preds_T 1; levels='):
        algorithm.init_weights()


def test_a_child_of_the_model_that_fires_several_times_gives_as_many_levels():
    """The teacher's forward used to end after the first."""
    algorithm = build(dict(x=dict(taps='often', loss=MSE)), calls=(3, 3))
    algorithm.init_weights()
    for _ in range(2):
        assert algorithm(batch(), mode='loss')['distill.loss_x'] > 0
        assert algorithm.teacher.known_calls == {'often': 3}


def test_calls_that_nobody_reads_are_pointed_out(said):
    """mmrazor reads the first of several, unless it is told which."""
    build(distiller=mmrazors()).init_weights()
    assert len(said) == 1 and "tap 'often' of the student fires 2 times" in said[0] and 'record_idx' in said[0]
    said.clear()
    build(distiller=mmrazors(record_idx=1)).init_weights()
    build(distiller=mmrazors(levels='all')).init_weights()
    build(distiller=mmrazors(), calls=(1, 1)).init_weights()
    build(dict(x=dict(taps='often', loss=MSE))).init_weights()
    assert said == []


# ---- numbers ---------------------------------------------------------------------------------------------------------


@MODELS.register_module()
class ForeignLoss(nn.Module):
    """A loss that checks nothing, as mmrazor's."""

    def __init__(self, loss_weight=1.0, tau=1.0, bounds=(0.0, 1.0)):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, preds_S, preds_T):
        return self.loss_weight * (preds_S - preds_T).abs().mean()


@pytest.mark.parametrize('short', [True, False])
@pytest.mark.parametrize(
    'option, message',
    [
        (dict(loss_weight='1.0'), "loss_weight: a finite number of at least 0 was expected, got '1.0'"),
        (dict(loss_weight=-1), 'loss_weight: a finite number of at least 0 was expected, got -1'),
        (dict(loss_weight=NAN), 'loss_weight: a finite number of at least 0 was expected, got nan'),
        (dict(loss_weight=True), 'loss_weight: a finite number of at least 0 was expected, got True'),
        (dict(tau=INF), 'tau: a finite number was expected, got inf'),
        (dict(bounds=[0.0, NAN]), r'bounds: a finite number was expected, got \[0.0, nan\]'),
    ],
)
def test_numbers_of_losses_that_check_nothing_are_checked(option, message, short):
    loss = dict(type='mmkd.ForeignLoss', **option)
    options = dict(distill=dict(x=dict(taps='often', loss=loss))) if short else dict(distiller=mmrazors(loss=loss))
    with pytest.raises(ValueError, match=rf'^distill\.(loss_)?x\.loss\.{message}'):
        build(**options)


def test_a_loss_within_a_loss_is_checked_too():
    loss = dict(type='LogitStandardized', loss=dict(type='PixelWiseLoss', activation='softmax', temperature=INF))
    with pytest.raises(ValueError, match=r'^distill\.x\.loss.*temperature'):
        build(dict(x=dict(taps='bbox_head.conv_cls', loss=loss)))


@pytest.mark.parametrize('key', ['loss_weight', 'gradient_penalty'])
@pytest.mark.parametrize('value', ['1', NAN, INF, -1, True])
def test_numbers_of_the_holistic_loss_are_checked(key, value):
    with pytest.raises(ValueError, match=f'holistic.{key}: a finite number of at least 0 was expected, got {value!r}'):
        HolisticOptions.from_config(dict(discriminator=dict(type='X'), taps='conv_seg', **{key: value}))


@pytest.mark.parametrize('value', ['1', NAN, INF, -1, True, 0.5])
def test_numbers_of_steps_are_checked(value):
    with pytest.raises(
        ValueError, match=f'holistic.start_iter: a whole number of at least 0 was expected, got {value!r}'
    ):
        HolisticOptions.from_config(dict(discriminator=dict(type='X'), taps='conv_seg', start_iter=value))


@pytest.mark.parametrize('key', ['loss_weight', 'levels'])
def test_true_is_no_number(key):
    entry = dict(taps='neck', loss=dict(MSE))
    (entry['loss'] if key == 'loss_weight' else entry)[key] = True
    with pytest.raises(ValueError, match=f'distill.x.*{key}.*True'):
        build(dict(x=entry))
