"""The distillation configs: the student as it is, the teacher beside it."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.utils.model_config import resolve_network

ROOT = Path(__file__).parents[1]
CONFIG = 'configs/kd/centermask_v19_from_v99.py'
STUDENT = 'configs/centermask/centermask-lite_v19_fpn_ms-4x_coco.py'
TERMS = {'pixel_wise', 'pair_wise'}  # of _base_/kd


def test_everything_but_the_teacher_is_the_students_own_config():
    cfg, plain = Config.fromfile(ROOT / CONFIG), Config.fromfile(ROOT / STUDENT)
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    assert set(cfg.keys()) - TERMS == set(plain.keys())
    for key in set(plain.keys()) - {'model'}:
        assert cfg[key] == plain[key], key


def test_class_logits_and_pyramid_are_distilled_on_all_levels():
    distill = Config.fromfile(ROOT / CONFIG).model.distill
    assert distill.cls.taps == 'bbox_head.conv_cls' and 'levels' not in distill.cls
    assert distill.cls.loss.type == 'mmkd.PixelWiseLoss' and distill.cls.loss.activation == 'sigmoid'
    assert distill.fpn.taps == 'neck' and distill.fpn.loss.type == 'mmkd.PairWiseLoss'


@pytest.mark.parametrize('teacher', ['v99', 'v57', 'v39'])
def test_the_teachers_of_the_readme_are_options(teacher):
    lines = (ROOT / 'configs/kd/README.md').read_text().splitlines()
    row = next(line for line in lines if f'V-{teacher[1:]} |' in line)
    options = dict(option.split('=') for option in re.findall(r'model\.teacher\.\w+=[^\s`]+', row))
    cfg = Config.fromfile(ROOT / CONFIG)
    assert not options or len(options) == 2
    cfg.merge_from_dict(options)
    assert cfg.model.teacher.ckpt == f'checkpoints/centermask_{teacher}.pth'
    network = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    assert network.backbone.arch == f'V-{teacher[1:]}-eSE'


def test_the_teacher_is_named_in_the_config_and_no_variable_swaps_it(monkeypatch):
    monkeypatch.setenv('MMKD_TEACHER_CKPT', '/elsewhere/v39.pth')
    teacher = Config.fromfile(ROOT / CONFIG).model.teacher
    assert teacher.ckpt == 'checkpoints/centermask_v99.pth'
    assert teacher.cfg_path == 'mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py'
