"""What DenseDistill computes, accepts and refuses."""

import copy

import pytest
import torch
from helpers.distillation_toys import STUDENT, TEACHER, ToyDetector, batch, build, mse, toy, two_losses
from torch import nn
from torch.nn import functional as F

from mmkd.distillation.algorithms import DenseDistill, DenseDistiller
from mmkd.registry import MODELS


def levels_of(model, inputs):
    """The neck's levels of a network, with the batch norm in the mode it is in."""
    return model.neck(model.backbone(inputs))


SAME = dict(student=STUDENT, teacher=dict(STUDENT, allow_random=True))


# ---- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('reduce', 'combine'), [('mean', lambda v: v.mean()), ('sum', lambda v: v.sum())])
@pytest.mark.parametrize('levels', [None, (0, 2), (1,)])
def test_a_loss_over_levels_of_a_tuple_is_that_of_its_levels(levels, reduce, combine):
    algorithm = build(mse(levels=levels, reduce=reduce), **SAME)
    loss = algorithm(batch(), mode='loss')['distill.loss_fpn']
    students, teachers = (levels_of(m, batch()) for m in (algorithm.student, algorithm.teacher.model))
    per_level = torch.stack([F.mse_loss(students[i], teachers[i]) for i in (levels or (0, 1, 2))])
    torch.testing.assert_close(loss, combine(per_level))


def test_a_loss_over_the_calls_of_a_shared_layer_is_that_of_its_levels():
    distill = dict(cls=dict(taps='bbox_head.conv_cls', levels=(0, 2), loss=dict(type='FeatureMSELoss', weight=3.0)))
    algorithm = build(distill)
    loss = algorithm(batch(), mode='loss')['distill.loss_cls']
    logits = [m.bbox_head.forward(levels_of(m, batch())) for m in (algorithm.student, algorithm.teacher.model)]
    torch.testing.assert_close(loss, 3 * sum(F.mse_loss(logits[0][i], logits[1][i]) for i in (0, 2)) / 2)


class Spy(nn.Module):
    """A loss that notes what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, preds_S, preds_T):
        self.seen.append((preds_S, preds_T))
        return preds_S.mean() - preds_T.mean()


def spied_on(algorithm, name='loss_fpn'):
    algorithm.distiller.distill_losses[name] = Spy()
    algorithm(batch(), mode='loss')
    return algorithm.distiller.distill_losses[name].seen


def test_levels_of_student_and_teacher_may_be_numbered_apart():
    algorithm = build(mse(levels=dict(student=(0, 1), teacher=(1, 2))), dry_run=False, **SAME)
    seen = spied_on(algorithm)
    students, teachers = (levels_of(m, batch()) for m in (algorithm.student, algorithm.teacher.model))
    for (student, teacher), i in zip(seen, (0, 1), strict=True):
        assert torch.equal(student, students[i]) and torch.equal(teacher, teachers[i + 1])


def test_one_loss_over_levels_is_mmrazors_losses_of_each():
    """The same thing in mmrazor's words, which need an entry for each level."""
    short = build(mse(levels=(0, 1, 2), reduce='sum'), **SAME)
    names = [f'loss_fpn{i}' for i in range(3)]
    words = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        distill_losses={name: dict(type='mmkd.FeatureMSELoss') for name in names},
        loss_forward_mappings={
            name: dict(
                preds_S=dict(recorder='fpn', from_student=True, data_idx=i),
                preds_T=dict(recorder='fpn', from_student=False, data_idx=i),
            )
            for i, name in enumerate(names)
        },
    )
    long = build(distiller=words, **SAME)
    losses = long(batch(), mode='loss')
    assert isinstance(long.distiller, DenseDistiller)
    torch.testing.assert_close(
        sum(losses[f'distill.{name}'] for name in names), short(batch(), mode='loss')['distill.loss_fpn']
    )


def test_mmrazors_vocabulary_takes_levels_too():
    record = dict(recorder='fpn', levels=[0, 1])
    words = dict(
        type='mmrazor.ConfigurableDistiller',
        student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
        distill_losses=dict(loss_pkd=dict(type='PKDLoss', loss_weight=2)),
        loss_forward_mappings=dict(
            loss_pkd=dict(preds_S=dict(record, from_student=True), preds_T=dict(record, from_student=False))
        ),
    )
    assert build(distiller=words, **SAME)(batch(), mode='loss')['distill.loss_pkd'] > 0


def test_the_task_loss_of_the_student_is_that_without_a_teacher():
    algorithm = build()
    alone = copy.deepcopy(algorithm.student)
    losses = algorithm(batch(), mode='loss')
    for name, value in alone(batch(), mode='loss').items():
        torch.testing.assert_close(losses[f'student.{name}'], value)


def test_the_student_starts_as_it_would_without_a_teacher():
    torch.manual_seed(5)
    alone = MODELS.build(STUDENT)
    alone.init_weights()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    algorithm = DenseDistill(STUDENT, TEACHER, two_losses(), dry_run=dict(size=(32, 32)))
    algorithm.init_weights()
    assert torch.equal(torch.rand(1), drawn)
    for key, value in alone.state_dict().items():
        assert torch.equal(algorithm.student.state_dict()[key], value)


def test_a_teacher_with_channels_last_computes_the_same_in_that_layout():
    students = {}
    for last in (False, True):
        torch.manual_seed(0)
        students[last] = build(mse(), student=STUDENT, teacher=dict(STUDENT, allow_random=True, channels_last=last))
    plain, last = (students[key].teacher.model for key in (False, True))
    last.load_state_dict(plain.state_dict())
    (_, expected), (_, found) = (spied_on(students[key])[0] for key in (False, True))
    torch.testing.assert_close(found, expected)
    weights = [p for p in last.parameters() if p.dim() == 4]
    assert weights and all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    assert all(p.is_contiguous() for p in students[True].student.parameters())


def test_what_a_teacher_in_low_precision_gives_enters_the_losses_in_single_precision():
    algorithm = build(mse(), student=STUDENT, teacher=dict(STUDENT, allow_random=True, dtype='bfloat16'))
    assert {(student.dtype, teacher.dtype) for student, teacher in spied_on(algorithm)} == {(torch.float32,) * 2}
    assert algorithm.teacher.dtype == torch.bfloat16


# ---- connectors ------------------------------------------------------------------------------------------------------


def test_connectors_find_their_channels_and_each_level_has_its_own():
    connectors = build().distiller.connectors['fpn'].levels
    assert [(c.conv.in_channels, c.conv.out_channels) for c in connectors] == [(6, 10)] * 3


def test_connectors_are_sized_from_the_calls_of_a_shared_layer_too():
    distill = dict(cls=dict(taps='bbox_head.conv_cls', connector='conv1x1', loss=dict(type='FeatureMSELoss')))
    algorithm = build(distill, teacher=dict(toy(num_classes=5), allow_random=True))
    assert [c.conv.out_channels for c in algorithm.distiller.connectors['cls'].levels] == [5] * 3


def test_a_configured_connector_needs_no_run_of_the_networks(monkeypatch):
    monkeypatch.setattr(ToyDetector, 'forward', lambda *args, **kwargs: 1 / 0)
    connector = dict(type='mmrazor.ConvModuleConnector', in_channel=6, out_channel=10)
    algorithm = build(mse(levels=(0, 1), connector=connector))
    assert len(algorithm.distiller.connectors['fpn'].levels) == 2


def test_a_connector_between_single_records():
    tap = dict(source='backbone.relu', record_idx=0)
    algorithm = build(dict(x=dict(taps=tap, connector='conv1x1', loss=dict(type='FeatureMSELoss'))))
    assert algorithm(batch(), mode='loss')['distill.loss_x'] > 0


def test_connectors_are_trained_and_saved_and_initialised():
    algorithm = build()
    own = dict(algorithm.named_parameters())
    names = [name for name in own if name.startswith('distiller.connectors.fpn.levels')]
    assert len(names) == 6 and set(names) < set(algorithm.state_dict())
    before = {name: own[name].detach().clone() for name in names}
    algorithm.init_weights()
    assert all(not torch.equal(own[name], before[name]) for name in names if name.endswith('weight'))
    algorithm.parse_losses(algorithm(batch(), mode='loss'))[0].backward()
    assert all(own[name].grad.abs().sum() > 0 for name in names)


def test_unknown_channels_are_an_error_of_training_and_not_of_testing():
    algorithm = build(teacher=dict(cfg_path='nowhere.py', ckpt='x.pth'))
    algorithm(batch(), mode='predict')
    assert not algorithm.distiller.connectors
    found = build(teacher=dict(TEACHER, type='mmkd.Broken'))
    with pytest.raises(ValueError, match='connectors were not found .*no such size'):
        found.init_weights()


@MODELS.register_module()
class Broken(ToyDetector):
    def forward(self, *args, **kwargs):
        raise RuntimeError('no such size')


# ---- recorders of functions ------------------------------------------------------------------------------------------


def test_what_functions_give_is_recorded_in_the_mode_of_training():
    """mmrazor's recorders of methods need the whole forward as it runs in training."""
    source = 'helpers.distillation_toys.ToyHead.loss'
    words = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(x=dict(type='ModuleOutputs', source='bbox_head.conv_cls')),
        teacher_recorders=dict(x=dict(type='MethodOutputs', source=source)),
        distill_losses=dict(loss_x=dict(type='mmkd.FeatureMSELoss')),
        loss_forward_mappings=dict(
            loss_x=dict(preds_S=dict(recorder='x', from_student=True), preds_T=dict(recorder='x', from_student=False))
        ),
    )
    algorithm = build(distiller=words, dry_run=False)
    algorithm.prepare()
    assert algorithm.teacher.mode == 'loss'
    algorithm.run_teacher(batch())
    assert set(algorithm.teacher_recorders.recorders['x'].data_buffer[0]) == {'loss_cls'}


def test_other_distillers_of_mmrazor_are_taken_as_they_are():
    words = dict(
        type='BYOTDistiller',
        student_recorders=dict(x=dict(type='ModuleOutputs', source='bbox_head.conv_cls')),
        teacher_recorders=dict(x=dict(type='ModuleOutputs', source='bbox_head.conv_cls')),
        distill_losses=dict(loss_x=dict(type='L2Loss')),
        loss_forward_mappings=dict(
            loss_x=dict(
                s_feature=dict(recorder='x', from_student=True), t_feature=dict(recorder='x', from_student=False)
            )
        ),
    )
    algorithm = build(distiller=words)
    algorithm.init_weights()
    assert algorithm(batch(), mode='loss')['distill.loss_x'] > 0
    assert type(algorithm.distiller).__name__ == 'BYOTDistiller'


def test_a_teacher_may_be_any_module():
    distill = mse(taps=dict(student='neck', teacher='1'), levels=(0,))
    algorithm = build(distill, teacher=nn.Sequential(nn.Conv2d(3, 6, 2, stride=2), nn.Identity(), nn.Linear(1, 1)))
    algorithm.init_weights()
    assert algorithm(batch(), mode='loss')['distill.loss_fpn'] > 0


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(architecture=STUDENT), 'student, architecture: one of the two was expected, got both'),
        (dict(student=None), 'student, architecture: one of the two was expected, got none'),
        (dict(distiller=dict(source='neck')), 'distiller.type: missing'),
        (dict(teacher=None), 'teacher: missing'),
        (dict(teacher_trainable=True), 'a teacher never trains'),
        (dict(teacher_norm_eval=False), 'a teacher never trains'),
        (dict(student_trainable=False), 'student_trainable=False needs calculate_student_loss=False'),
        (dict(student=dict(depth=3)), r"student: type or cfg_path was expected, the keys given are \['depth'\]"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_one_form_of_the_losses_is_enough():
    for losses, given in ((dict(distill=two_losses(), distiller=dict(type='x')), 'both'), ({}, 'none')):
        with pytest.raises(ValueError, match=f'distill, distiller: one of the two was expected, got {given}'):
            DenseDistill(STUDENT, TEACHER, **losses)


def test_mmrazors_names_and_built_models_are_taken():
    student, teacher = (MODELS.build(STUDENT) for _ in range(2))
    algorithm = build(mse(), student=None, architecture=student, teacher=teacher)
    assert algorithm.student is student and algorithm.teacher.model is teacher
    assert algorithm(batch(), mode='loss')['distill.loss_fpn'] > 0


def test_a_student_without_its_own_loss():
    losses = build(calculate_student_loss=False)(batch(), mode='loss')
    assert set(losses) == {'distill.loss_fpn', 'distill.loss_cls'}
    frozen = build(calculate_student_loss=False, student_trainable=False)
    frozen(batch(), mode='loss')['distill.loss_fpn'].backward()  # only the connectors learn
    assert all(parameter.grad is None for parameter in frozen.student.parameters())
    assert frozen.distiller.connectors['fpn'].levels[0].conv.weight.grad is not None


def test_predictions_are_the_students():
    algorithm = build().eval()
    for mode in ('predict', 'tensor'):
        for ours, own in zip(algorithm(batch(), mode=mode), algorithm.student(batch(), mode=mode), strict=True):
            assert torch.equal(ours, own)
    assert not algorithm.teacher.built


def test_train_and_eval_reach_the_student_and_return_the_algorithm():
    algorithm = build()
    assert algorithm.eval() is algorithm and not algorithm.student.training
    assert algorithm.train() is algorithm and algorithm.student.training


def test_the_teacher_moves_with_the_algorithm_and_keeps_its_precision():
    algorithm = build()
    algorithm.prepare()
    algorithm.double()
    assert next(algorithm.student.parameters()).dtype == torch.float64
    assert next(algorithm.teacher.model.parameters()).dtype == torch.float32
    algorithm.to('meta')
    assert next(algorithm.teacher.model.parameters()).is_meta
