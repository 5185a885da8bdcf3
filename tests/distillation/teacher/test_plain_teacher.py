"""A teacher that is no model of mmengine's: any module, with a normalisation of its own."""

import pytest
import torch
from helpers.distillation_toys import IMAGENET_RGB, batch, toy
from mmengine.model import BaseDataPreprocessor
from torch import nn

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.teacher import FrozenTeacher
from mmkd.registry import MODELS

UNIT_RGB = dict(mean=[127.5], std=[127.5], bgr_to_rgb=True)
DISTILL = dict(
    x=dict(taps=dict(student='backbone', teacher='stem'), connector='conv1x1', loss=dict(type='FeatureMSELoss'))
)
LOSS = 'distill.loss_x'


@MODELS.register_module()
class PlainNetwork(nn.Module):
    """As timm's or torchvision's: images in, nothing else asked for."""

    def __init__(self, channels=6):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.last_calls = 0

    def forward(self, images):
        self.seen = images
        x = self.dropout(self.stem(images))
        self.last_calls += 1
        return x.mean()


def plain():
    torch.manual_seed(5)
    return PlainNetwork()


def build(teacher, student=None, distill=None, **options):
    torch.manual_seed(0)
    student = student or toy(channels=4, dropout=0.0, data_preprocessor=IMAGENET_RGB)
    return DenseDistill(
        student=student, teacher=teacher, distill=distill or DISTILL, dry_run=dict(size=(32, 32)), **options
    )


def test_a_plain_module_teaches_past_a_connector_of_unknown_size():
    network = plain()
    algorithm = build(network)
    algorithm.init_weights()  # with the dry run
    (connector,) = algorithm.distiller.connectors['x'].levels
    assert connector.conv.weight.shape[:2] == (6, 4)
    network.last_calls = 0
    algorithm.train()(batch(), mode='loss')[LOSS].backward()
    assert connector.conv.weight.grad.abs().max() > 0
    assert network.last_calls == 0  # it ended at its tap
    assert not network.dropout.training


@pytest.mark.parametrize('kind', ['module', 'config', 'type'])
def test_it_sees_its_own_normalisation(kind):
    teacher = dict(
        module=lambda: dict(model=plain(), data_preprocessor=UNIT_RGB),
        config=lambda: dict(model=dict(type='mmkd.PlainNetwork'), data_preprocessor=UNIT_RGB, allow_random=True),
        type=lambda: dict(type='mmkd.PlainNetwork', data_preprocessor=UNIT_RGB, allow_random=True),
    )[kind]()
    algorithm = build(teacher)
    algorithm.init_weights()
    pixels = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)  # BGR
    data = algorithm.data_preprocessor(dict(inputs=[pixels]), True)
    algorithm(**data, mode='loss')
    wanted = (pixels.flip(0).float() - 127.5) / 127.5
    torch.testing.assert_close(algorithm.teacher.model.seen[0], wanted, rtol=1e-4, atol=1e-4)


def test_options_go_beside_a_module():
    teacher = FrozenTeacher.from_config(dict(model=plain(), dtype='bfloat16', data_preprocessor=UNIT_RGB))
    assert teacher.dtype is torch.bfloat16 and isinstance(teacher.model, PlainNetwork)


def test_without_a_normalisation_of_its_own_it_takes_the_students_and_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmkd.distillation.teacher.frozen_teacher.print_log', lambda message, **kwargs: said.append(message)
    )
    algorithm = build(plain())
    algorithm.init_weights()
    for _ in range(2):
        algorithm(batch(), mode='loss')
    assert len(said) == 1 and 'PlainNetwork' in said[0] and 'data_preprocessor=dict(mean=' in said[0]
    torch.testing.assert_close(algorithm.teacher.model.seen, batch())


@pytest.mark.parametrize(
    'given, message',
    [
        (dict(mean=[1.0, 2.0], std=[1.0, 2.0]), 'teacher.data_preprocessor: .*mean'),
        (dict(means=[1.0]), 'teacher.data_preprocessor: .*means'),
        (dict(mean=[1.0]), 'teacher.data_preprocessor: '),
        (dict(bgr_to_rgb=True, rgb_to_bgr=True), 'teacher.data_preprocessor: '),
        (dict(mean=[0.5], std=[0.0]), 'teacher.data_preprocessor.std: numbers above 0'),
        ('imagenet', "teacher.data_preprocessor: a dict .* was expected, got 'imagenet'"),
    ],
)
def test_a_normalisation_that_is_none_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        build(dict(model=plain(), data_preprocessor=given)).init_weights()


class Whitening(nn.Module):
    """Does something to the pixels of which nothing is known here."""

    def forward(self, data, training=False):
        return data


class Halving(BaseDataPreprocessor):
    def forward(self, data, training=False):
        return super().forward(data, training)


@pytest.mark.parametrize('unknown', [Whitening, Halving])
def test_a_preprocessor_that_is_not_known_is_an_error_and_not_taken_for_equal(unknown):
    network = plain()
    network.data_preprocessor = unknown()
    with pytest.raises(ValueError, match=f'teacher.data_preprocessor: .*{unknown.__name__}.*normalize=False'):
        build(network).init_weights()
    build(dict(model=network, normalize=False)).init_weights()
    build(dict(model=network, data_preprocessor=UNIT_RGB)).init_weights()
    with pytest.raises(ValueError, match=f'student.data_preprocessor: .*{unknown.__name__}'):
        build(dict(model=plain(), data_preprocessor=UNIT_RGB), data_preprocessor=unknown()).init_weights()


def test_a_tap_it_does_not_reach_is_named():
    network = plain()
    network.unused = nn.Conv2d(3, 3, 1)
    taps = dict(student='backbone', teacher='unused')
    with pytest.raises(ValueError, match="teacher.*'unused'"):
        build(network, distill=dict(x=dict(taps=taps, loss=dict(type='FeatureMSELoss')))).init_weights()
