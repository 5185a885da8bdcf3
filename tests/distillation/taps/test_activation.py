"""What a head's logits go through, read from real heads, and what the losses on them make of it."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.configs import shipped_configs
from helpers.distillation_toys import ToyHead, batch, toy
from mmengine.config import Config
from torch import nn

import mmkd.models  # noqa: F401
from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.losses import pixel_wise_loss
from mmkd.distillation.taps.activation import head_activation
from mmkd.registry import MODELS
from mmkd.utils.model_config import resolve_network

ROOT = Path(__file__).parents[3]
CE = dict(type='CrossEntropyLoss')
ANCHORS = dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0], strides=[8])


def model_with(**heads):
    """A model with nothing but heads, built from configs."""
    model = nn.Module()
    for name, config in heads.items():
        scope = 'mmseg' if 'decode' in name or 'auxiliary' in name else 'mmdet'
        setattr(model, name, MODELS.build(dict(config, type=f'{scope}.{config["type"]}')))
    return model


def dense(kind, **options):
    config = dict(type=kind, num_classes=3, in_channels=32, feat_channels=32, stacked_convs=1, **options)
    return model_with(bbox_head=config)


def decode(**options):
    options = {**dict(num_classes=3, loss_decode=dict(CE, type='mmseg.CrossEntropyLoss')), **options}
    return model_with(decode_head=dict(type='FCNHead', in_channels=8, channels=4, num_convs=1, **options))


def seg(**loss):
    return dict(type='mmseg.CrossEntropyLoss', **loss)


@pytest.mark.parametrize(
    ('model', 'source', 'data_idx', 'expected'),
    [
        (lambda: dense('FCOSHead'), 'bbox_head.conv_cls', None, 'sigmoid'),
        (lambda: dense('FCOSHead'), 'bbox_head', 0, 'sigmoid'),
        (lambda: dense('FCOSHead'), 'bbox_head.forward', 0, 'sigmoid'),
        (lambda: dense('FCOSHead'), 'bbox_head', 1, None),  # distances
        (lambda: dense('FCOSHead'), 'bbox_head.conv_reg', None, None),
        (lambda: dense('FCOSHead'), 'bbox_head.cls_convs.0', None, None),  # features
        (lambda: dense('FCOSHead'), 'bbox_head.cls_convs.0.conv', None, None),
        (lambda: dense('GFLHead', anchor_generator=dict(ANCHORS, ratios=[1.0])), 'bbox_head.gfl_cls', None, 'sigmoid'),
        (lambda: dense('RetinaHead', anchor_generator=ANCHORS), 'bbox_head.retina_cls', None, 'sigmoid'),
        # the classes of two anchors in the channels: neither is a softmax over all of them
        (lambda: dense('RetinaHead', anchor_generator=ANCHORS, loss_cls=CE), 'bbox_head.retina_cls', None, None),
        (lambda: model_with(roi=dict(type='Shared2FCBBoxHead', num_classes=3)), 'roi.fc_cls', None, 'softmax'),
        (
            lambda: model_with(
                roi=dict(type='Shared2FCBBoxHead', num_classes=3, loss_cls=dict(type='SeesawLoss', num_classes=3))
            ),
            'roi.fc_cls',
            None,
            None,
        ),
        (lambda: model_with(mask=dict(type='FCNMaskHead', num_classes=3)), 'mask.conv_logits', None, 'sigmoid'),
        (lambda: decode(), 'decode_head.conv_seg', None, 'softmax'),
        (lambda: decode(), 'decode_head.cls_seg', None, 'softmax'),
        (lambda: decode(), 'decode_head', None, 'softmax'),
        (lambda: decode(), 'decode_head.convs.0', None, None),
        (lambda: decode(loss_decode=seg(use_sigmoid=True)), 'decode_head.conv_seg', None, 'sigmoid'),
        (lambda: decode(num_classes=2, out_channels=1, threshold=0.3), 'decode_head.conv_seg', None, 'sigmoid'),
        (lambda: decode(loss_decode=[seg(), seg(loss_name='loss_b')]), 'decode_head.conv_seg', None, 'softmax'),
        (lambda: decode(loss_decode=[seg(), seg(use_sigmoid=True)]), 'decode_head.conv_seg', None, None),
        (lambda: decode(loss_decode=dict(type='mmseg.LovaszLoss', reduction='none')), 'decode_head', None, None),
        (lambda: decode(), 'backbone.layer1', None, None),
        (lambda: decode(), 'no.such.module', None, None),
    ],
)
def test_activation_is_read_from_the_loss_of_the_head(model, source, data_idx, expected):
    assert head_activation(model(), source, data_idx) == expected


@pytest.mark.parametrize('name', ['espnet/espnet_40k_camvid-480x360', 'espnet/espnet-c_40k_camvid-480x360'])
def test_our_own_segmentation_heads_say_it(name):
    model = nn.Module()
    model.decode_head = MODELS.build(Config.fromfile(ROOT / f'configs/{name}.py').model.decode_head)
    assert head_activation(model, 'decode_head.conv_seg') == 'softmax'


def detector(use_sigmoid, **options):
    """A toy whose head says what it was trained with."""
    model = MODELS.build(toy(**options))
    model.bbox_head.loss_cls = SimpleNamespace(use_sigmoid=use_sigmoid)
    return model


@pytest.fixture
def warnings(monkeypatch):
    """The warnings of the losses' activations."""
    found = []
    monkeypatch.setattr('mmkd.distillation.taps.activation.print_log', lambda message, **kwargs: found.append(message))
    return found


def build(loss, student=False, teacher=False, taps='bbox_head.conv_cls', **options):
    torch.manual_seed(0)
    return DenseDistill(
        student=detector(student, dropout=0),
        teacher=detector(teacher, channels=8),
        distill=dict(cls=dict(taps=taps, loss=loss)),
        dry_run=dict(size=(32, 48)),
        **options,
    )


@pytest.mark.parametrize('taps', ['bbox_head.conv_cls', 'bbox_head', 'bbox_head.forward'])
@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_auto_becomes_what_the_students_head_has(use_sigmoid, taps, warnings):
    algorithm = build(dict(type='PixelWiseLoss'), student=use_sigmoid, teacher=use_sigmoid, taps=taps)
    algorithm.prepare()
    assert not warnings
    activation = 'sigmoid' if use_sigmoid else 'softmax'
    assert algorithm.distiller.distill_losses['loss_cls'].activation == activation
    assert f"activation='{activation}'" in repr(algorithm.distiller)
    algorithm.train()
    images = batch()
    loss = algorithm.loss(images)['distill.loss_cls']
    student, teacher = (model(images) for model in (algorithm.student, algorithm.teacher.model))
    expected = [pixel_wise_loss(*pair, activation=activation) for pair in zip(student, teacher, strict=True)]
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_auto_is_settled_inside_of_other_losses_and_without_a_dry_run():
    standardized = dict(type='LogitStandardized', loss=dict(type='PixelWiseLoss'))
    algorithm = build(standardized, student=True, teacher=True)
    algorithm.dry_run = False
    algorithm.prepare()
    assert algorithm.distiller.distill_losses['loss_cls'].loss.activation == 'sigmoid'


def test_auto_is_settled_in_mmrazors_vocabulary():
    torch.manual_seed(0)
    tap = dict(cls=dict(type='ModuleOutputs', source='bbox_head.conv_cls'))
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=tap,
        teacher_recorders=tap,
        distill_losses=dict(loss_cls=dict(type='mmkd.PixelWiseLoss')),
        loss_forward_mappings=dict(
            loss_cls={
                key: dict(recorder='cls', from_student=key == 'preds_S', record_idx=1) for key in ('preds_S', 'preds_T')
            }
        ),
    )
    algorithm = DenseDistill(
        student=detector(True), teacher=detector(True), distiller=distiller, dry_run=dict(size=(32, 48))
    )
    algorithm.prepare()
    assert algorithm.distiller.distill_losses['loss_cls'].activation == 'sigmoid'


@pytest.mark.parametrize('taps', ['neck.convs.0', 'bbox_head.conv_cls'])
def test_a_head_that_does_not_say_it_is_an_error_that_says_what_to_write(taps, monkeypatch):
    monkeypatch.setattr(ToyHead, 'loss_cls', None)
    algorithm = build(dict(type='PixelWiseLoss'), student=None, taps=taps)
    with pytest.raises(ValueError) as error:
        algorithm.prepare()
    message = str(error.value)
    assert message.startswith(f"distill.cls.loss.activation: 'auto' was given, and what the student's {taps!r} go")
    assert "activation='softmax'" in message and "activation='sigmoid'" in message
    algorithm = build(dict(type='PixelWiseLoss', activation='sigmoid'), student=None, taps=taps)
    algorithm.prepare()


@pytest.mark.parametrize(
    ('loss', 'student', 'teacher', 'expected'),
    [
        (dict(type='PixelWiseLoss', activation='softmax'), True, True, ['student', 'teacher']),
        (dict(type='PixelWiseLoss', activation='sigmoid'), False, False, ['student', 'teacher']),
        (dict(type='PixelWiseLoss'), True, False, ['teacher']),
        (dict(type='DISTLoss'), True, True, ['student', 'teacher']),
        (dict(type='LogitStandardized', loss=dict(type='DISTLoss')), True, True, ['student', 'teacher']),
        (dict(type='PixelWiseLoss', activation='sigmoid'), True, True, []),
        (dict(type='DISTLoss'), False, False, []),
        (dict(type='ChannelWiseDivergence'), True, True, []),  # over the positions
        (dict(type='FeatureMSELoss'), True, True, []),
    ],
)
def test_a_loss_that_disagrees_with_the_head_is_warned_of(loss, student, teacher, expected, warnings):
    algorithm = build(loss, student=student, teacher=teacher)
    algorithm.prepare()
    pattern = (
        r"distill\.cls: (\w+) puts a (\w+) on the logits of the (\w+)'s 'bbox_head.conv_cls'.* trained with a (\w+);"
    )
    found = [re.match(pattern, warning).groups() for warning in warnings]
    assert [side for _, _, side, _ in found] == expected
    assert all({ours, theirs} == {'softmax', 'sigmoid'} for _, ours, _, theirs in found)


def test_first_config_of_the_readme_fits_its_head():
    text = re.search(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)[1]
    cfg = Config.fromstring(text, '.py')
    entry = cfg.model.distill.cls
    model = nn.Module()
    model.bbox_head = MODELS.build(cfg.model.student.bbox_head)
    assert entry.loss.get('activation', 'auto') in ('auto', head_activation(model, entry.taps))
    assert head_activation(model, entry.taps) == 'sigmoid'
    assert MODELS.build(entry.loss).activation in ('auto', 'sigmoid')


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['configs/kd', 'projects'])
def test_every_config_fits_its_head_or_says_that_it_does_not(folder):
    """Heads alone are built, each once. CenterMask_KD's rows repeat its softmax on a head of sigmoids."""
    known, taught = {}, 0
    for path in shipped_configs(folder):
        model = Config.fromfile(ROOT / path).get('model', {})
        for name, entry in model.get('distill', {}).items():
            taps = entry.taps.get('student', entry.taps) if isinstance(entry.taps, dict) else entry.taps
            loss = entry.loss.loss if entry.loss.type == 'mmkd.LogitStandardized' else entry.loss
            if loss.type not in ('mmkd.PixelWiseLoss', 'mmkd.DISTLoss'):
                continue
            source, data_idx = (taps.source, taps.get('data_idx')) if isinstance(taps, dict) else (taps, None)
            head = source.split('.')[0]
            config = resolve_network(model.student, 'student')[head]
            key = str(config)
            if key not in known:
                known[key] = nn.Module()
                setattr(known[key], head, MODELS.build(config))
            found = head_activation(known[key], source, data_idx)
            written = 'softmax' if loss.type == 'mmkd.DISTLoss' else loss.get('activation', 'auto')
            where = f'{path}, {name}'
            if written == 'auto':
                assert found, where
            elif found not in (None, written):
                assert (found, written) == ('sigmoid', 'softmax'), where
                assert path.startswith('configs/kd/centermask_kd/'), where
            taught += 1
    assert taught > 5
