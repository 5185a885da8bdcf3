"""Of a teacher's checkpoint only what runs up to the last tap has to be there."""

import pytest
import torch
from helpers.distillation_toys import batch, toy
from torch import nn

from mmkd.distillation.teacher.network import build_network
from mmkd.distillation.teacher.weights_read import weights_read
from mmkd.registry import MODELS

TOY = toy(channels=4, dropout=0.0)
FPN = dict(fpn=dict(taps='neck', loss=dict(type='FeatureMSELoss')))
CLS = dict(cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss', activation='sigmoid')))


@pytest.fixture
def checkpoint(tmp_path):
    """The checkpoint of a teacher without what begins with one of the given names."""

    def save(*absent):
        kept = {k: v for k, v in build_network(TOY).state_dict().items() if not k.startswith(absent)}
        torch.save(kept, tmp_path / 'teacher.pth')
        return str(tmp_path / 'teacher.pth')

    return save


def algorithm(ckpt, distill=FPN, **options):
    teacher = dict(TOY, ckpt=ckpt, **options.pop('teacher', {}))
    config = dict(type='mmkd.DenseDistill', student=TOY, teacher=teacher, distill=distill, dry_run=dict(size=(32, 32)))
    return MODELS.build(dict(config, **options))


def test_a_head_beyond_the_last_tap_may_be_absent_and_the_log_says_so(checkpoint, monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.distillation.teacher.weights.print_log', lambda message, **kwargs: said.append(message))
    model = algorithm(checkpoint('bbox_head', 'auxiliary_head'))
    losses = model(batch(), None, mode='loss')
    assert losses['distill.loss_fpn'].isfinite()
    (message,) = said
    assert 'lacks 4 tensors' in message and message.endswith('the last tap: bbox_head (2), auxiliary_head (2)')


def test_what_is_absent_is_not_a_number_should_it_be_read_after_all(checkpoint):
    teacher = algorithm(checkpoint('bbox_head')).teacher
    assert teacher.model.bbox_head.conv_cls.weight.isnan().all()
    assert not teacher.model.neck.convs[0].weight.isnan().any()


def test_a_teacher_that_is_not_all_there_makes_no_predictions(checkpoint):
    teacher = algorithm(checkpoint('bbox_head'), data_preprocessor=None).teacher
    with pytest.raises(ValueError, match="teacher.ckpt: .* has no 'bbox_head.conv_cls.weight', .* cannot predict"):
        teacher.val_step(dict(inputs=[torch.zeros(3, 32, 32)]))


@pytest.mark.parametrize(
    ('absent', 'distill', 'first'),
    [
        ('bbox_head', CLS, 'bbox_head.conv_cls.weight'),
        ('bbox_head', {**FPN, **CLS}, 'bbox_head.conv_cls.weight'),
        ('neck.convs.1', FPN, 'neck.convs.1.weight'),
        ('backbone.bn.running_mean', FPN, 'backbone.bn.running_mean'),
        (('backbone.residual.bias', 'bbox_head'), FPN, 'backbone.residual.bias'),
    ],
)
def test_what_runs_before_the_last_tap_has_to_be_there(absent, distill, first, checkpoint):
    ckpt = checkpoint(*([absent] if isinstance(absent, str) else absent))
    with pytest.raises(ValueError, match=rf"teacher.ckpt .* keys are missing, first '{first}'"):
        algorithm(ckpt, distill).prepare()


@pytest.mark.parametrize(
    'options',
    [dict(teacher=dict(early_exit=False)), dict(teacher=dict(mode='loss')), dict(inherit='bbox_head')],
    ids=['no early exit', 'losses of the teacher', 'inherited'],
)
def test_a_head_that_is_used_in_another_way_has_to_be_there(options, checkpoint):
    with pytest.raises(ValueError, match="teacher.ckpt .* keys are missing, first 'bbox_head.conv_cls.weight'"):
        algorithm(checkpoint('bbox_head'), **options).init_weights()


def test_a_tap_that_does_not_exist_is_named_before_the_weights(checkpoint):
    with pytest.raises(ValueError, match="no module 'nekc'; did you mean 'neck'"):
        algorithm(
            checkpoint('bbox_head'), dict(fpn=dict(FPN['fpn'], taps=dict(student='neck', teacher='nekc')))
        ).prepare()


def test_weights_count_as_read_however_they_are_used():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.called = nn.Conv2d(3, 3, 1)
            self.query = nn.Embedding(1, 3)  # whose weight is used, and never its forward
            self.scale = nn.Parameter(torch.ones(1))
            self.register_buffer('shift', torch.zeros(1))
            self.unused = nn.Linear(3, 3)

        def forward(self, x):
            return self.called(x).mean((2, 3)) * self.scale + self.query.weight + self.shift

    model = Mixed()
    with torch.no_grad():
        read = weights_read(model, lambda: model(torch.ones(1, 3, 4, 4)))
    assert read == {'called.weight', 'called.bias', 'query.weight', 'scale', 'shift'}


@pytest.mark.parametrize('kind', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
def test_weights_of_deformable_convolutions_count_as_read(kind):
    import mmcv.ops

    layer = getattr(mmcv.ops, kind)(3, 3, 3, padding=1)
    with torch.no_grad():
        assert weights_read(layer, lambda: layer(torch.ones(1, 3, 8, 8))) == set(layer.state_dict())
