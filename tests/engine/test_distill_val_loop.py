"""Validation of the student; of the teacher once; and mmrazor's loop, which existing configs name."""

import pytest
import torch
from helpers.distillation_runs import run_config, scalars, train
from helpers.distillation_toys import toy
from mmengine.runner import Runner

from mmkd.engine.hooks import TeacherEvaluationHook

EMA = [dict(type='EMAHook', momentum=0.5)]


def trained_weights(config):
    return train(config).model.student.state_dict()


def test_the_student_is_validated_as_by_the_plain_loop(teacher):
    plain = train(run_config('plain', teacher))
    ours = train(run_config('ours', teacher, val_cfg=dict(type='mmkd.DistillValLoop')))
    assert scalars(plain, 'val/acc') == scalars(ours, 'val/acc')
    assert not any('teacher' in name for name in ours.message_hub.log_scalars)


def test_the_teacher_is_evaluated_once_and_its_metrics_stand_beside_the_students(teacher):
    loop = dict(type='mmkd.DistillValLoop', evaluate_teacher=True)
    runner = Runner.from_cfg(run_config('run', teacher, val_cfg=loop))
    evaluated = []
    val_step = runner.model.teacher.val_step
    runner.model.teacher.val_step = lambda data: evaluated.append(runner.iter) or val_step(data)
    runner.train()
    assert evaluated == [0] * 3  # three batches, before the first training step
    of_teacher, of_student = (scalars(runner, f'val/{name}') for name in ('teacher/acc', 'acc'))
    assert of_teacher[0] == of_teacher[1]
    assert of_student[0] != of_student[1]


def test_evaluating_the_teacher_draws_no_random_number_of_the_run(teacher):
    runner = Runner.from_cfg(run_config('run', teacher))
    runner.val_loop.dataloader  # noqa: B018  built, with what is drawn for it
    before = torch.get_rng_state()
    assert TeacherEvaluationHook().evaluate(runner)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixed_precision_is_the_students(teacher):
    runner = Runner.from_cfg(run_config('run', teacher, val_cfg=dict(type='mmkd.DistillValLoop', fp16=True)))
    assert runner.val_loop.fp16


def test_the_teachers_metric_is_that_of_the_teacher_alone(teacher):
    loop = dict(type='mmkd.DistillValLoop', evaluate_teacher=True)
    runner = train(run_config('run', teacher, epochs=1, val_cfg=loop))
    alone = run_config('alone', teacher)
    alone.model = {key: value for key, value in teacher.items() if key != 'ckpt'}
    alone.load_from = teacher['ckpt']
    assert Runner.from_cfg(alone).val()['acc'] == pytest.approx(scalars(runner, 'val/teacher/acc')[0])


def test_the_teacher_can_be_evaluated_without_training(teacher):
    loop = dict(type='mmkd.DistillValLoop', evaluate_teacher=True)
    metrics = Runner.from_cfg(run_config('run', teacher, val_cfg=loop)).val()
    assert set(metrics) == {'acc', 'teacher/acc'}


def test_evaluating_a_teacher_needs_a_teacher(teacher):
    config = run_config('run', teacher, val_cfg=dict(type='mmkd.DistillValLoop', evaluate_teacher=True))
    config.model = toy(data_preprocessor=dict(type='ImgDataPreprocessor'))
    with pytest.raises(TypeError, match='a model with a teacher was expected, got ToyDetector'):
        train(config)


def test_evaluating_the_teacher_leaves_training_with_moving_averages_as_it_is(teacher):
    """mmrazor's loop swaps the averaged weights into the training (its hooks see two validations begin and one end)."""
    plain = trained_weights(run_config('plain', teacher, custom_hooks=EMA))
    loop = dict(type='mmkd.DistillValLoop', evaluate_teacher=True)
    ours = trained_weights(run_config('ours', teacher, custom_hooks=EMA, val_cfg=loop))
    mmrazor = trained_weights(
        run_config('mmrazor', teacher, custom_hooks=EMA, val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop'))
    )
    key = 'backbone.conv.weight'
    assert torch.equal(ours[key], plain[key])
    assert not torch.equal(mmrazor[key], plain[key])


def test_mmrazors_loop_runs_and_the_teacher_keeps_its_own_preprocessor(teacher, caplog):
    runner = train(run_config('run', teacher, val_cfg=dict(type='mmrazor.SingleTeacherDistillValLoop')))
    assert len(scalars(runner, 'val/teacher.acc')) == 2
    assert runner.model.teacher.data_preprocessor is not runner.model.data_preprocessor
