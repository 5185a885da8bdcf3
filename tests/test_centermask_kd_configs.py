"""The configs of CenterMask distillation: what they say, and through the runner at a reduced size."""

import json
import re
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.config_runs import go_on, pipeline_steps, reduce_networks, short_run
from helpers.configs import ROOT, shipped_configs
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from pycocotools import mask as coco_mask

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.distillation.recipes.short_form import parse_short_form
from mmkd.registry import DATASETS
from mmkd.utils.model_config import resolve_network

KD = 'configs/kd/centermask_kd'
NAMES = shipped_configs(KD)
COCO = 'configs/centermask/centermask-lite_v19_fpn_ms-4x_coco.py'
VOC = 'configs/centermask/centermask-lite_v19_fpn_10k_voc.py'
REDUCED = [f'projects/reduced_runs/configs/nuclei_{row}.py' for row in ('all', 'kl', 'mgd', 'pi-pa')]
TAUGHT = 'projects/nuclei_example/configs/centermask-lite_efficientnet-lite0_from_lite2_nuclei_pkd.py'
ALONE = 'projects/nuclei_example/configs/centermask-lite_efficientnet-lite0_nuclei.py'
ALL_VOC = f'{KD}/centermask-v19_centermask-lite-v19_10k_voc_all.py'
HEAD = {'cls', 'bounded'}
TERMS = {
    'head-kl': HEAD,
    'head-kl-corr': HEAD | {'correlation'},
    'head-kl-mse': HEAD | {'mse'},
    'head-kl-mask': HEAD | {'mask'},
    'all': HEAD | {'correlation', 'mse', 'mask'},
}
# what only the distillation configs have: the terms of _base_/kd, and names within a config
ADDED = {
    'model',
    *(path.stem for path in (ROOT / 'configs/_base_/kd').glob('*.py')),
    'weights_folder',
    'cls',
    'fpn',
    'features',
}


@cache
def load(name):
    return Config.fromfile(ROOT / name)


def row_of(name):
    return name.removesuffix('.py').split('_')[-1]


# ---- what they say ---------------------------------------------------------------------------------------------------


def test_there_is_a_config_for_every_experiment():
    stem = f'{KD}/centermask-v19_centermask-lite-v19'
    assert set(NAMES) == {*(f'{stem}_4x_coco_{row}.py' for row in TERMS), f'{stem}_10k_voc_all.py'}


@pytest.mark.parametrize('name', NAMES)
def test_a_config_is_that_of_the_student_with_the_terms_of_its_row_and_its_teacher(name):
    cfg, plain = load(name), load(VOC if '_voc_' in name else COCO)
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    assert cfg.keys() - ADDED == plain.keys() - ADDED
    for key in plain.keys() - ADDED:
        assert cfg[key] == plain[key], key
    assert set(cfg.model.distill) == TERMS[row_of(name)]
    # a softmax on a head of sigmoids, as in CenterMask_KD
    assert cfg.model.distill.cls.reduce == 'sum' and cfg.model.distill.cls.loss.activation == 'softmax'
    suffix = '_voc' if '_voc_' in name else ''
    assert cfg.model.teacher.ckpt == f'checkpoints/centermask_v19{suffix}.pth'
    teacher = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    assert teacher.backbone.arch == 'V-19-eSE' and teacher.neck.out_channels == 256


def test_features_are_those_of_centermask_kd_and_begin_after_the_warm_up():
    distill = load(ALL_VOC).model.distill
    assert distill.correlation.loss.reduction == 'sum'
    for term in (distill.correlation, distill.mse):
        assert term.start_iter == 500
        assert term.taps == [*(f'backbone.stage{i}' for i in (2, 3, 4, 5)), 'neck.fpn_convs.4']
        assert term.connector == [None] * 4 + ['conv1x1']


def test_terms_are_taken_away_and_the_teacher_changed_as_the_readme_says():
    options = re.findall(r'(?m)^\| `(.*?=.*?)` \|', (ROOT / KD / 'README.md').read_text())
    assert len(options) >= 6
    for line in options:
        cfg = load(ALL_VOC).copy()
        pairs = dict(option.split('=') for option in line.split())
        cfg.merge_from_dict({key: None if value == 'None' else value for key, value in pairs.items()})
        taken = {key.split('.')[-1] for key, value in pairs.items() if value == 'None'}
        assert {entry.name for entry in parse_short_form(cfg.model.distill)} == set(cfg.model.distill) - taken
        resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')


@pytest.mark.parametrize('name', [TAUGHT, *REDUCED])
def test_nuclei_rows_are_the_students_own_config_with_a_teacher(name):
    cfg, plain = load(name), load(ALONE)
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    for key in plain.keys() - ADDED:
        assert cfg[key] == plain[key], key
    if 'cls' in cfg.model.distill:
        assert cfg.model.distill.cls.loss.activation == 'sigmoid'  # a softmax over one class would teach nothing
    assert Path(cfg.model.teacher.ckpt).is_file()
    assert all(
        term.start_iter < plain.train_cfg.max_iters for term in cfg.model.distill.values() if 'start_iter' in term
    )


# ---- data and runs ---------------------------------------------------------------------------------------------------


def annotations(classes, rle):
    """Two images of 60 x 40 with two objects each."""
    found = dict(images=[], annotations=[], categories=[dict(id=i + 1, name=name) for i, name in enumerate(classes)])
    for image in (1, 2):
        found['images'].append(dict(id=image, file_name=f'{image}.jpg', height=40, width=60))
        for i, (x, y, w, h) in enumerate([(4, 5, 30, 30), (20, 2, 38, 20)]):
            mask = np.zeros((40, 60), np.uint8, order='F')
            mask[y : y + h, x : x + w] = 1
            code = coco_mask.encode(mask)
            code['counts'] = code['counts'].decode()
            polygon = [[float(v) for v in (x, y, x + w, y, x + w, y + h, x, y + h)]]
            found['annotations'].append(
                dict(id=2 * image + i, image_id=image, category_id=len(classes) - i, iscrowd=0, area=w * h,
                     bbox=[x, y, w, h], segmentation=code if rle else polygon)
            )  # fmt: skip
    return json.dumps(found)


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two images a split of COCO and of VOC 2012, where the environment variables of the configs point."""
    rng = np.random.default_rng(0)
    voc = load(VOC).metainfo['classes']
    for split in ('train', 'val'):
        for folder in (tmp_path / f'coco/{split}2017', tmp_path / f'voc_instance/images/{split}'):
            folder.mkdir(parents=True)
            for i in (1, 2):
                Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(folder / f'{i}.jpg')
        (tmp_path / 'coco/annotations').mkdir(exist_ok=True)
        coco_json = annotations(CocoDataset.METAINFO['classes'], rle=False)
        (tmp_path / f'coco/annotations/instances_{split}2017.json').write_text(coco_json)
        (tmp_path / f'voc_instance/instances_{split}.json').write_text(annotations(voc, rle=True))
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return tmp_path


@pytest.mark.parametrize('split', ['train', 'val'])
def test_voc_instances_are_read_with_their_bitmaps_and_all_twenty_classes(roots, split):
    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / VOC)
    assert cfg[f'{"train" if split == "train" else "val"}_dataloader'].dataset.data_root == f'{roots}/voc_instance/'
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    assert len(dataset) == 2 and len(dataset.metainfo['classes']) == 20 == cfg.model.bbox_head.num_classes
    sample = dataset[0]['data_samples']
    assert sample.ori_shape == (40, 60) and min(sample.img_shape) in (580, 600)
    assert sample.gt_instances.labels.tolist() == [19, 18]
    if split == 'train':
        height, width = sample.img_shape
        area = sample.gt_instances.masks.masks[0].sum() / (height * width)
        assert area == pytest.approx(30 * 30 / (40 * 60), rel=0.02)
    assert cfg.val_evaluator.ann_file == f'{roots}/voc_instance/instances_val.json'


def shrink(network, channels):
    """The narrowest VoVNet, few channels, and predictions without a threshold."""
    network.data_preprocessor.std = [58.0, 57.0, 57.0]  # the weights are not those that expect 0 to 255
    network.backbone.update(arch='V-19-slim-dw-eSE', init_cfg=None)
    network.neck.update(in_channels=[256, 384, 512], out_channels=channels)
    norm_cfg = dict(type='GN', num_groups=4, requires_grad=True)  # P7 is a single pixel
    network.bbox_head.update(in_channels=channels, feat_channels=channels, stacked_convs=1, norm_cfg=norm_cfg)
    network.roi_head.mask_roi_extractor.out_channels = channels
    network.roi_head.mask_head.update(in_channels=channels, conv_out_channels=channels, num_convs=1)
    network.roi_head.mask_iou_head.update(
        in_channels=channels, conv_out_channels=channels, num_convs=1, fc_out_channels=16
    )
    network.test_cfg.bbox.update(score_thr=0.0, max_per_img=3)


def reduced(name, work_dir):
    cfg = Config.fromfile(ROOT / name)
    short_run(cfg, work_dir)
    for step in pipeline_steps(cfg):
        if step.type == 'RandomChoiceResize':
            step.scales = [(96, 64)]
        elif step.type == 'Resize':
            step.scale = (96, 64)
    cfg.default_hooks.logger.interval = 1
    cfg.log_level = 'WARNING'
    reduce_networks(cfg, (64, 96), partial(shrink, channels=32), partial(shrink, channels=64))
    for term in cfg.model.distill.values():
        if 'start_iter' in term:
            term.start_iter = 1
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_config_trains_evaluates_and_resumes(name, roots):
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    runner.train()
    logged = {
        key.removeprefix('train/distill.loss_'): buffer.data[0].tolist()
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith('train/distill')
    }
    several = dict(bounded=('bounded_bbox', 'bounded_centerness'), mask=('mask_mask', 'mask_iou'))
    terms = TERMS[row_of(name)]
    assert set(logged) == {key for term in terms for key in several.get(term, (term,))}
    for term in terms & {'correlation', 'mse'}:
        assert logged[term][0] == 0 < logged[term][1]
    assert all(logged[key][0] > 0 for key in logged if key.startswith(('cls', 'mask')))

    resumed = go_on(runner, reduced(name, roots / 'run'))
    assert (roots / 'run' / 'iter_3_student.pth').is_file()

    # something is found: boxes of two strides with even chances
    for conv in (resumed.model.student.bbox_head.conv_cls, resumed.model.student.bbox_head.conv_reg):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.ones_(conv.bias)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= resumed.test().keys()
