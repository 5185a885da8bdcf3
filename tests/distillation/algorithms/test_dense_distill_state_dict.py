"""The state dict of a distillation, and which files it takes."""

import copy

import pytest
import torch
from helpers.distillation_toys import STUDENT, build


def test_the_state_dict_is_that_of_mmrazor_without_the_teacher():
    prefixes = {key.split('.')[0] for key in build().state_dict()}
    assert prefixes == {'architecture', 'distiller'}


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_a_checkpoint_of_mmrazor_is_loaded_without_its_teacher(load):
    source, target = build(), build(student=STUDENT)
    state_dict = {**randomised(source.state_dict()), 'teacher.backbone.conv.weight': torch.zeros(1)}
    load_strictly(target, state_dict, load)
    assert torch.equal(target.student.backbone.conv.weight, state_dict['architecture.backbone.conv.weight'])
    assert 'teacher.backbone.conv.weight' in state_dict  # the caller's dict is not changed


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_a_checkpoint_of_the_student_alone_goes_to_the_student(load):
    algorithm = build()
    connectors = copy.deepcopy(algorithm.distiller.state_dict())
    state_dict = randomised(algorithm.student.state_dict())
    load_strictly(algorithm, state_dict, load)
    assert torch.equal(algorithm.student.bbox_head.conv_cls.weight, state_dict['bbox_head.conv_cls.weight'])
    for key, value in algorithm.distiller.state_dict().items():
        assert torch.equal(value, connectors[key])


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_a_checkpoint_of_something_else_is_refused(load):
    with pytest.raises(ValueError, match="2 keys and none is one of the student, first 'fc.weight'"):
        load_strictly(build(), {'fc.weight': torch.zeros(1), 'fc.bias': torch.zeros(1)}, load)


@pytest.mark.parametrize('load', ['torch', 'mmengine'])
def test_what_is_missing_or_surplus_is_still_named(load):
    algorithm = build()
    state_dict = algorithm.state_dict()
    del state_dict['architecture.bbox_head.conv_cls.bias']
    state_dict['distiller.surplus'] = torch.zeros(1)
    with pytest.raises(RuntimeError) as error:
        load_strictly(algorithm, state_dict, load)
    assert 'architecture.bbox_head.conv_cls.bias' in str(error.value) and 'distiller.surplus' in str(error.value)


def randomised(state_dict):
    return {key: torch.randn_like(value) if value.is_floating_point() else value for key, value in state_dict.items()}


def load_strictly(model, state_dict, load):
    if load == 'torch':
        model.load_state_dict(state_dict, strict=True)
    else:
        from mmengine.runner.checkpoint import load_state_dict

        load_state_dict(model, state_dict, strict=True)
