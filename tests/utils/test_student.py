"""The plain student inside distillation configs and checkpoints."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from torch import nn

from mmkd.utils.student import is_distillation, load_student, student_config, student_of

STUDENT = dict(type='FCOS', backbone=dict(depth=18))


@pytest.mark.parametrize(
    'model',
    [
        dict(type='mmkd.DenseDistill', student=STUDENT, teacher=dict(type='FCOS'), distill={}),
        dict(type='mmrazor.SingleTeacherDistill', architecture=STUDENT, teacher=dict(type='FCOS'), distiller={}),
    ],
)
def test_the_student_is_found_in_both_vocabularies(model):
    model = ConfigDict(model)
    assert is_distillation(model)
    assert student_config(model) == STUDENT


def test_a_plain_model_is_returned_as_it_is():
    model = ConfigDict(STUDENT)
    assert not is_distillation(model)
    assert student_config(model) is model


def test_scope_and_preprocessor_of_the_algorithm_go_to_the_student():
    model = ConfigDict(
        type='DenseDistill', _scope_='mmkd', data_preprocessor=dict(type='P'), student=STUDENT, teacher={}, distill={}
    )
    student = student_config(model)
    assert student['_scope_'] == 'mmkd' and student['data_preprocessor'] == dict(type='P')


def test_a_student_given_by_path_is_read_and_its_changes_are_merged(tmp_path):
    (tmp_path / 'student.py').write_text(
        "default_scope = 'mmdet'\nmodel = dict(type='FCOS', neck=dict(a=1), bbox_head=dict(num_classes=80))\n"
    )
    given = dict(cfg_path=str(tmp_path / 'student.py'), bbox_head=dict(num_classes=1))
    student = student_config(ConfigDict(type='DenseDistill', student=given, teacher={}, distill={}))
    assert student.bbox_head.num_classes == 1 and student.neck.a == 1
    assert student['_scope_'] == 'mmdet'


def test_student_of_leaves_the_config_itself_alone():
    cfg = Config(dict(model=dict(type='DenseDistill', student=STUDENT, teacher={}, distill={}), work_dir='w'))
    plain = student_of(cfg)
    assert plain.model == STUDENT and plain.work_dir == 'w'
    assert cfg.model.type == 'DenseDistill'


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def save(path, state_dict):
    torch.save(dict(state_dict=state_dict, meta={}), path)
    return path


def shifted(net):
    return {key: value + 1 for key, value in net.state_dict().items()}


@pytest.mark.parametrize('prefix', ['', 'architecture.'])
def test_full_and_student_only_checkpoints_load(net, tmp_path, prefix):
    wanted = shifted(net)
    others = {'distiller.connectors.a.weight': torch.zeros(1), 'teacher.0.weight': torch.zeros(1)} if prefix else {}
    load_student(net, save(tmp_path / 'a.pth', {**{prefix + k: v for k, v in wanted.items()}, **others}))
    for key, value in net.state_dict().items():
        assert torch.equal(value, wanted[key]), key


def test_missing_and_mis_shaped_keys_are_named(net, tmp_path):
    state_dict = shifted(net)
    del state_dict['0.bias']
    with pytest.raises(ValueError, match="1 of 6 keys are missing, first '0.bias'"):
        load_student(net, save(tmp_path / 'a.pth', state_dict))
    with pytest.raises(ValueError, match="first '0.weight'"):
        load_student(net, save(tmp_path / 'b.pth', {**shifted(net), '0.weight': torch.zeros(3, 5)}))


def test_surplus_keys_are_named(net, tmp_path):
    with pytest.raises(ValueError, match="1 keys of the file are not in the model, first '2.weight'"):
        load_student(net, save(tmp_path / 'a.pth', {**shifted(net), '2.weight': torch.zeros(1)}))


def test_a_count_of_batches_too_many_or_too_few_is_no_matter(net, tmp_path):
    state_dict = shifted(net)
    del state_dict['1.num_batches_tracked']
    load_student(net, save(tmp_path / 'a.pth', {**state_dict, '0.num_batches_tracked': torch.tensor(1)}))
