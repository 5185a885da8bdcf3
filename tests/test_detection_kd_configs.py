"""The configs of FCOS and its distillation through the runner, at a reduced size, and what they say."""

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.config_runs import go_on, pipeline_steps, reduce_networks, short_run
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.engine import DistillOptimWrapper
from mmkd.registry import MODELS

FOLDER = ROOT / 'configs'
PLAIN = [name.removeprefix('configs/') for name in shipped_configs('configs/fcos')]
KD = [name.removeprefix('configs/') for name in shipped_configs('configs/kd/structured_kd') if '/fcos-' in name]
REDUCED = [f'../projects/reduced_runs/configs/voc_boxes_{name}.py' for name in ('c32', 'c128', 'c32_pi-pa')]
SIZE = (64, 96)  # height, width
QUICK = ('kd/structured_kd/fcos-x101_fcos-mobilenetv2-c128_1x_coco_pi-pa-ho.py',)
STUDENT = Config.fromfile(FOLDER / 'fcos/fcos_mobilenetv2-c128_1x_coco.py')
TEACHER = Config.fromfile(FOLDER / 'fcos/fcos_x101-32x8d_ms-2x_coco.py')


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two images with two objects each as COCO and as VOC 2012, where the configs look for them."""
    rng = np.random.default_rng(0)
    classes = [*STUDENT.get('metainfo', {}).get('classes', ()), *_coco_classes(), *_voc_classes()]
    annotations = dict(categories=[dict(id=i, name=name) for i, name in enumerate(dict.fromkeys(classes), 1)])
    annotations['images'] = [dict(id=i, file_name=f'{i}.jpg', width=SIZE[1], height=SIZE[0]) for i in range(2)]
    names = {category['name']: category['id'] for category in annotations['categories']}
    annotations['annotations'] = [
        dict(id=10 * i + j, image_id=i, category_id=names[name], bbox=[8 + i, 8 + j, 40, 36], area=1440, iscrowd=0)
        for i in range(2)
        for j, name in enumerate(('person', 'boat'))
    ]
    for folder, split in (
        ('coco', 'train2017'),
        ('coco', 'val2017'),
        ('voc_instance/images', 'train'),
        ('voc_instance/images', 'val'),
    ):
        (tmp_path / folder / split).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(tmp_path / folder / split / f'{i}.jpg')
    (tmp_path / 'coco/annotations').mkdir()
    for split in ('train', 'val'):
        (tmp_path / f'coco/annotations/instances_{split}2017.json').write_text(json.dumps(annotations))
        (tmp_path / f'voc_instance/instances_{split}.json').write_text(json.dumps(annotations))
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return tmp_path


def _coco_classes():
    from mmdet.datasets import CocoDataset

    return CocoDataset.METAINFO['classes']


def _voc_classes():
    return Config.fromfile(FOLDER / '_base_/datasets/voc_instance.py').metainfo['classes']


def reduced(name, work_dir):
    """The config at 64 x 96 with two iterations, narrow networks and one process."""
    cfg = Config.fromfile(FOLDER / name)
    short_run(cfg, work_dir)
    for step in pipeline_steps(cfg):
        if step.type in ('Resize', 'RandomResize'):
            step.scale = SIZE[::-1]
        elif step.type == 'RandomChoiceResize':
            step.scales = [SIZE[::-1]]
    reduce_networks(cfg, SIZE, shrink)
    return cfg


def shrink(network):
    network.backbone.init_cfg = None
    if network.backbone.type == 'ResNeXt':
        network.backbone.update(depth=50, groups=1, base_width=4, base_channels=4, frozen_stages=-1)
        network.neck.in_channels = [16, 32, 64, 128]
    else:
        network.backbone.widen_factor = 0.25
        network.neck.in_channels = [8, 8, 24, 80]
    network.neck.out_channels = 64
    network.bbox_head.update(in_channels=64, feat_channels=64, stacked_convs=1)
    network.test_cfg.update(score_thr=0.0, max_per_img=3)  # an untrained network is sure of nothing


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PLAIN + KD + REDUCED]
)
def test_config_trains_evaluates_and_resumes(name, roots):
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    runner.train()
    logged = {key.removeprefix('train/') for key in runner.message_hub.log_scalars if key.startswith('train/')}
    distilled = 'student' in runner.cfg.model
    expected = {f'{"student." if distilled else ""}loss_{part}' for part in ('cls', 'bbox', 'centerness')}
    rows = name.removesuffix('.py').split('_')[-1].split('-') if distilled else []
    expected |= {f'distill.loss_{row}' for row in rows if row != 'ho'}
    if 'ho' in rows:
        expected |= {'distill.loss_holistic', 'discriminator.loss_adversarial', 'discriminator.loss_gp'}
    assert expected <= logged
    assert runner.message_hub.log_scalars['val/coco/bbox_mAP'].current() >= -1

    resumed = go_on(runner, reduced(name, roots / 'run'))
    assert isinstance(resumed.optim_wrapper, DistillOptimWrapper) == ('ho' in rows)
    assert (roots / 'run' / 'iter_3_student.pth').is_file() == distilled


def test_model_and_schedule_are_those_of_mmdets_fcos():
    mmdet = Config.fromfile(
        'mmdet::fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco.py'.replace('mmdet::', _mmdet())
    )
    assert TEACHER.model.bbox_head == mmdet.model.bbox_head
    assert TEACHER.model.neck == mmdet.model.neck
    assert TEACHER.model.test_cfg == mmdet.model.test_cfg
    for key in ('paramwise_cfg', 'clip_grad'):
        assert TEACHER.optim_wrapper[key] == STUDENT.optim_wrapper[key] == mmdet.optim_wrapper[key]
    assert TEACHER.optim_wrapper.optimizer == mmdet.optim_wrapper.optimizer
    assert [TEACHER.param_scheduler[0][key] for key in ('type', 'factor', 'end')] == ['ConstantLR', 1 / 3, 500]
    # 12 epochs of 117,266 images with objects in batches of 16 are 87,950 iterations
    assert STUDENT.train_cfg.max_iters == 90000 and TEACHER.train_cfg.max_iters == 180000
    changed = dict(mmdet.model.bbox_head, in_channels=128, feat_channels=128)
    assert STUDENT.model.bbox_head == changed


def _mmdet():
    import mmdet

    return str(Path(mmdet.__file__).parent / '.mim' / 'configs') + '/'


@pytest.mark.parametrize('cfg, channels, millions', [(STUDENT, 128, 3.89), (TEACHER, 256, 95.53)])
def test_width_and_size_of_the_networks(cfg, channels, millions):
    # millions in backbone, laterals, pyramid, towers, outputs: 1.81, .06, .74, 1.18, .10; 86.74, .92, 2.95, 4.73, .20
    config = deepcopy(cfg.model)
    config.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        model = MODELS.build(config)
        levels = model.extract_feat(torch.zeros(1, 3, 800, 1344))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (channels, 100, 168), (channels, 50, 84), (channels, 25, 42), (channels, 13, 21), (channels, 7, 11)
    ]  # fmt: skip
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    assert parameters == pytest.approx(millions, abs=0.01)
    assert not any(name.startswith('backbone.conv2') for name, _ in model.named_parameters())


@pytest.mark.parametrize('name', KD)
def test_the_students_part_is_that_of_its_plain_config(name):
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.model.student == STUDENT.model
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ('constructor', 'discriminator')}
    assert wrapper == STUDENT.optim_wrapper
    for key in ('train_dataloader', 'val_dataloader', 'param_scheduler', 'train_cfg', 'sync_bn'):
        assert cfg[key] == STUDENT[key]


@pytest.mark.parametrize('name', KD)
def test_all_levels_are_distilled(name):
    model = Config.fromfile(FOLDER / name).model
    assert model.distill.pa.taps == 'neck' and 'levels' not in model.distill.pa
    assert model.distill.pa.loss.pool is None  # every position is a node
    if 'pi' in model.distill:
        assert model.distill.pi.taps == 'bbox_head.conv_cls' and model.distill.pi.loss.activation == 'sigmoid'
    if 'holistic' in model:
        assert model.holistic.taps == 'bbox_head.conv_cls' and model.holistic.levels == 'all'


def test_full_resolution_pairs_take_memory_of_the_maps_only():
    """16,800 nodes: matrices of nodes x nodes would have 282 million entries an image; the maps have 6.5 million."""
    from mmkd.distillation.losses.pair_wise import _gram_is_cheaper

    loss = MODELS.build(Config.fromfile(FOLDER / KD[0]).model.distill.pa.loss)
    assert loss.options['method'] == 'auto'
    # every level with matrices of more than 16 MB, n^2 x 4 bytes, goes the other way
    assert all(_gram_is_cheaper(height * width, 128, 256) for height, width in ((100, 168), (50, 84), (25, 42)))
