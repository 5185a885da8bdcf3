"""Parts of the student that begin with the teacher's weights."""

import pytest
import torch
from helpers.distillation_runs import run_config, teacher, train  # noqa: F401
from helpers.distillation_toys import toy, two_losses
from mmengine.runner import Runner

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.recipes.inherit import inherit_weights, parse_inherit

# as the teacher of distillation_runs: the student's pyramid and head are built like its own
STUDENT = toy(channels=8, out_channels=10, dropout=0.0, data_preprocessor=dict(type='ImgDataPreprocessor'))


def build(inherit, student=STUDENT, **options):
    torch.manual_seed(0)
    given = dict(toy(channels=8, out_channels=10), allow_random=True)
    algorithm = DenseDistill(
        student=student, teacher=given, distill=two_losses(), dry_run=dict(size=(32, 32)), inherit=inherit, **options
    )
    for module in algorithm.teacher.model.modules():  # statistics of its own, for buffers
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(1, 2)
    return algorithm


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return {key for key in one if torch.equal(one[key], other[key])}


def test_named_parts_get_the_teachers_parameters_and_buffers_and_the_others_do_not():
    algorithm = build(['neck', 'backbone.bn'])
    student, given = algorithm.student, algorithm.teacher.model
    algorithm.init_weights()
    assert same(student.neck, given.neck) == set(student.neck.state_dict())
    assert same(student.backbone.bn, given.backbone.bn) == set(student.backbone.bn.state_dict())
    assert not same(student.bbox_head, given.bbox_head) and 'conv.weight' not in same(student.backbone, given.backbone)


def test_names_may_differ_and_weights_are_copies():
    algorithm = build({'neck.convs.0': 'neck.convs.2'})
    algorithm.init_weights()
    student, given = algorithm.student.neck, algorithm.teacher.model.neck
    assert torch.equal(student.convs[0].weight, given.convs[2].weight)
    assert not torch.equal(student.convs[2].weight, given.convs[2].weight)
    with torch.no_grad():
        student.convs[0].weight.zero_()
    assert given.convs[2].weight.any() and student.convs[0].weight.requires_grad


def test_nothing_is_inherited_without_being_asked_for():
    algorithm = build(None)
    algorithm.init_weights()
    assert not same(algorithm.student.neck, algorithm.teacher.model.neck)


@pytest.mark.parametrize(
    ('inherit', 'student', 'message'),
    [
        (
            'neck',
            dict(STUDENT, channels=4),
            r"inherit.neck: 'convs.0.weight' is \(10, 4, 3, 3\) in the student's 'neck' and \(10, 8, 3, 3\) in the "
            "teacher's 'neck'",
        ),
        ({'backbone.conv': 'backbone.bn'}, STUDENT, r"inherit.backbone.conv: 'weight' is \(8, 3, 3, 3\) .* and \(8,\)"),
        (
            {'neck.convs': 'neck'},
            STUDENT,
            "inherit.neck.convs: the student's 'neck.convs' has '0.weight', the teacher's 'neck' has not",
        ),
        (
            {'bbox_head.conv_cls': 'auxiliary_head', 'backbone.conv': 'backbone'},
            STUDENT,
            r"inherit.bbox_head.conv_cls: 'weight' is \(3, 10, 1, 1\)",
        ),
        ('neckk', STUDENT, "inherit.neckk: the student has no module 'neckk'; did you mean 'neck'"),
        (dict(neck='fpn'), STUDENT, "inherit.neck: the teacher has no module 'fpn'; did you mean"),
    ],
)
def test_what_does_not_match_is_named_and_nothing_is_copied(inherit, student, message):
    algorithm = build(inherit, student)
    with pytest.raises(ValueError, match=message):
        algorithm.init_weights()


def test_nothing_is_copied_if_the_last_part_does_not_match():
    algorithm = build({'neck': 'neck', 'backbone.conv': 'backbone.residual'})
    before = {key: value.clone() for key, value in algorithm.student.state_dict().items()}
    with pytest.raises(ValueError, match='inherit.backbone.conv'):
        inherit_weights(algorithm.student, algorithm.teacher.model, algorithm.inherit)
    assert all(torch.equal(value, before[key]) for key, value in algorithm.student.state_dict().items())


def test_keys_that_only_the_teacher_has_are_named():
    student, given = torch.nn.Module(), torch.nn.Module()
    student.part, given.part = torch.nn.Conv2d(2, 2, 1, bias=False), torch.nn.Conv2d(2, 2, 1)
    with pytest.raises(ValueError, match="inherit.part: the teacher's 'part' has 'bias', the student's 'part' has not"):
        inherit_weights(student, given, dict(part='part'))


@pytest.mark.parametrize('inherit', [3, [''], dict(neck=None), [1]])
def test_other_configs_are_refused(inherit):
    with pytest.raises(ValueError, match='inherit: names of modules'):
        parse_inherit(inherit)


def test_a_run_starts_from_them_and_a_resumed_run_does_not(teacher):  # noqa: F811
    model = dict(student=dict(channels=8, out_channels=10, dropout=0.0), inherit='neck')
    runner = Runner.from_cfg(run_config('run', teacher, epochs=1, model=model))
    seen = {}
    loss = runner.model.loss

    def first(*args):
        seen.setdefault('same', same(runner.model.student.neck, runner.model.teacher.model.neck))
        return loss(*args)

    runner.model.loss = first
    runner.train()
    assert seen['same'] == set(runner.model.student.neck.state_dict())
    trained = runner.model.state_dict()
    assert not same(runner.model.student.neck, runner.model.teacher.model.neck)

    resumed = Runner.from_cfg(run_config('run', teacher, epochs=1, resume=True, model=model))
    resumed.train()
    assert all(torch.equal(value, trained[key]) for key, value in resumed.model.state_dict().items())


def test_a_student_is_tested_without_a_look_at_the_teacher(teacher):  # noqa: F811
    model = dict(student=dict(channels=8, out_channels=10), inherit='neck')
    train(run_config('run', teacher, epochs=1, model=model))
    config = run_config('test', teacher, load_from='run/epoch_1.pth', model=model)
    config.test_dataloader, config.test_evaluator, config.test_cfg = config.val_dataloader, config.val_evaluator, {}
    runner = Runner.from_cfg(config)
    runner.test()
    assert not runner.model.teacher.built
