"""The distillation configs: the student as it is, the teacher beside it."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

FOLDER = Path(__file__).parents[1] / 'configs'
KD = FOLDER / 'kd'
CENTERMASK = sorted(path.stem for path in KD.glob('centermask_*.py'))
STRUCTURED = [name for name in CENTERMASK if not name.endswith(('_pkd', '_mgd', '_fgd'))]  # with the losses of the page
STUDENT = 'centermask/centermask-lite_v19_fpn_ms-4x_coco.py'
ADDED = {'custom_hooks', 'pkd', 'mgd', 'fgd'}  # beside the model: hooks, and names within a config


@pytest.mark.parametrize(
    'config, student',
    [(f'kd/{name}.py', STUDENT) for name in CENTERMASK]
    + [
        (
            '_quick_/centermask-lite_efficientnet-lite0_from_lite2_nuclei.py',
            '_quick_/centermask-lite_efficientnet-lite0_nuclei.py',
        )
    ],
)
def test_everything_but_the_teacher_is_the_students_own_config(config, student):
    cfg, plain = Config.fromfile(FOLDER / config), Config.fromfile(FOLDER / student)
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    keys = set(cfg.keys()) - ADDED
    assert keys == set(plain.keys()) - ADDED
    for key in keys - {'model'}:
        assert cfg[key] == plain[key], key


@pytest.mark.parametrize('name', STRUCTURED)
def test_class_logits_and_pyramid_are_distilled_on_all_levels(name):
    distill = Config.fromfile(KD / f'{name}.py').model.distill
    assert distill.cls.taps == 'bbox_head.conv_cls' and 'levels' not in distill.cls
    assert distill.cls.loss.type == 'mmkd.PixelWiseLoss' and distill.cls.loss.activation == 'sigmoid'
    assert distill.fpn.taps == 'neck' and distill.fpn.loss.type == 'mmkd.PairWiseLoss'


def test_teacher_file_comes_from_the_environment(monkeypatch):
    path = KD / 'centermask_v19_from_v99.py'
    teacher = Config.fromfile(path).model.teacher
    assert teacher.ckpt == 'checkpoints/centermask_v99.pth'
    assert teacher.cfg_path == 'mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py'
    monkeypatch.setenv('MMKD_TEACHER_CKPT', '/elsewhere/v99.pth')
    assert Config.fromfile(path).model.teacher.ckpt == '/elsewhere/v99.pth'


def test_data_folder_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv('MMKD_COCO_ROOT', '/elsewhere')
    cfg = Config.fromfile(KD / 'centermask_v19_from_v99.py')
    assert cfg.train_dataloader.dataset.data_root == '/elsewhere/'


def test_metafile_lists_the_centermask_configs():
    models = yaml.safe_load((KD / 'metafile.yml').read_text())['Models']
    listed = {model['Config'] for model in models}
    assert {f'configs/kd/{name}.py' for name in CENTERMASK} <= listed
