"""Configs outside of mmkd's own folders: the ten lines (which tests/docs trains), and the example project."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from helpers.coco import with_polygons
from mmengine.config import Config

import mmkd
from mmkd.apis.preflight import check_train_config

ROOT = Path(__file__).parents[1]
NUCLEI = ROOT / 'tests/data/nuclei'
TRAIN = Path(mmkd.__file__).parent / '.mim/tools/train.py'  # as `mim train mmkd` finds it
# One step on a small image with a random teacher: whether it runs is what matters.
SMALL = [
    'train_cfg.max_iters=1',
    'train_cfg.val_begin=1000',
    'train_dataloader.batch_size=1',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'default_hooks.logger.interval=1',
    'model.teacher.ckpt=None',
    'model.teacher.allow_random=True',
    'model.dry_run.size=(64,64)',
    'model.student.backbone.init_cfg=None',
]


def train_a_step(server, config, cwd, *options, **environment):
    done = server.run([TRAIN, config, '--cfg-options', *SMALL, *options], cwd, environment)
    assert done.code == 0, done.output[-3000:]
    assert all(f'{name}: ' in done.output for name in ('distill.loss_cls', 'distill.loss_fpn', 'student.loss_mask'))


@pytest.fixture
def ten_lines(tmp_path):
    """The config of configs/kd/README.md in a folder of its own, with polygon data where it looks for them."""
    text = re.search(r'```python\n(# my_config.*?)```', (ROOT / 'configs/kd/README.md').read_text(), re.S)[1]
    (tmp_path / 'my_config.py').write_text(text)
    data = tmp_path / 'my_data'
    data.mkdir()
    for split in ('train', 'val'):
        shutil.copytree(NUCLEI / split, data / split)
        annotations = json.loads((NUCLEI / f'instances_{split}.json').read_text())
        (data / f'{split}.json').write_text(json.dumps(with_polygons(annotations)))
    return tmp_path / 'my_config.py'


def test_the_ten_lines_are_about_ten_and_describe_a_run(ten_lines, monkeypatch):
    assert len([line for line in ten_lines.read_text().splitlines() if line and line[0] != '#']) <= 12
    monkeypatch.chdir(ten_lines.parent)
    torch.save({}, 'my_teacher.pth')
    cfg = Config.fromfile(ten_lines)
    cfg.model.student.backbone.init_cfg = None
    assert cfg.model.teacher.cfg_path == 'mmkd::centermask/centermask_v99_fpn_ms-3x_coco.py'
    assert cfg.train_cfg.max_iters == 360000 and cfg.optim_wrapper.optimizer.lr == 0.01
    check_train_config(cfg)


@pytest.mark.slow
def test_the_example_project_trains_from_a_copy_of_it(tmp_path, server):
    project = tmp_path / 'project'
    shutil.copytree(ROOT / 'projects/nuclei_example', project)
    smaller = ["train_dataloader.dataset.pipeline.2.scale='[(96,96),(96,96)]'"]
    config = 'configs/centermask_v19_from_v39_nuclei.py'
    train_a_step(server, config, project, *smaller, MMKD_DATA=str(NUCLEI.parent))
    run = project / 'work_dirs/centermask_v19_from_v39_nuclei'
    assert (run / 'iter_1.pth').is_file() and (run / 'iter_1_student.pth').is_file()
