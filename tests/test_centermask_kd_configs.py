"""The configs of CenterMask distillation: what they say, and through the runner at a reduced size."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from pycocotools import mask as coco_mask

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.registry import DATASETS
from mmkd.utils.model_config import resolve_network

FOLDER = Path(__file__).parents[1] / 'configs'
NAMES = sorted(path.stem for path in FOLDER.glob('kd/centermask-lite_*.py'))
QUICK = sorted(path.stem for path in FOLDER.glob('_quick_/centermask-lite_efficientnet-lite0_from_lite2_nuclei_*.py'))
OTHERS = {'pkd', 'mgd', 'fgd'}  # rows of the quick ones with losses that are not of CenterMask distillation
PLAIN = dict(
    coco='centermask/centermask-lite_v19_fpn_ms-4x_coco.py', voc='centermask_voc/centermask-lite_v19_fpn_10k_voc.py'
)
TEACHERS = dict(
    coco='mmkd::centermask/centermask_{}_fpn_ms-3x_coco.py', voc='mmkd::centermask_voc/centermask_{}_fpn_10k_voc.py'
)
HEAD = {'cls', 'bounded'}
TERMS = {
    'head-kl': HEAD,
    'head-ce': HEAD,
    'head-kl-corr': HEAD | {'correlation'},
    'head-ce-corr': HEAD | {'correlation'},
    'head-kl-mse': HEAD | {'mse'},
    'head-ce-mse': HEAD | {'mse'},
    'head-kl-mask': HEAD | {'mask'},
    'all': HEAD | {'correlation', 'mse', 'mask'},
}
# what only the distillation configs have: their hooks and the variables of _base_/centermask_kd.py
ADDED = {'model', 'custom_hooks', 'features', 'connectors', 'start_iter', 'kd_terms'}


@cache
def load(name):
    return Config.fromfile(FOLDER / name)


def parts_of(name):
    """Teacher, data and row of a config."""
    return name.removeprefix('centermask-lite_v19_from_').split('_')


# ---- what they say ---------------------------------------------------------------------------------------------------


def test_there_is_a_config_for_every_experiment():
    rows = {(data, teacher): {r for t, d, r in map(parts_of, NAMES) if (d, t) == (data, teacher)}
            for data in PLAIN for teacher in ('v19', 'v39', 'v99')}  # fmt: skip
    for (_, teacher), found in rows.items():
        expected = set(TERMS) if teacher == 'v19' else {row for row in TERMS if 'ce' not in row.split('-')}
        assert found == expected
    assert {name.split('_')[-1] for name in QUICK} == {
        'kl',
        'head',
        'head-corr',
        'head-mse',
        'head-mask',
        'all',
        *OTHERS,
    }


@pytest.mark.parametrize('name', NAMES)
def test_a_config_is_that_of_the_student_with_the_terms_of_its_row_and_its_teacher(name):
    teacher, data, row = parts_of(name)
    cfg, plain = load(f'kd/{name}.py'), load(PLAIN[data])
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    assert cfg.keys() - ADDED == plain.keys() - ADDED
    for key in plain.keys() - ADDED:
        assert cfg[key] == plain[key], key
    assert set(cfg.model.distill) == TERMS[row]
    assert cfg.model.distill.cls.loss.mode == ('ce' if 'ce' in row.split('-') else 'kl')
    assert cfg.model.teacher.cfg_path == TEACHERS[data].format(teacher)
    assert cfg.model.distill == load(f'kd/centermask-lite_v19_from_v19_{data}_{row}.py').model.distill
    suffix = '_voc' if data == 'voc' else ''
    assert cfg.model.teacher.ckpt == f'checkpoints/centermask_{teacher}{suffix}.pth'
    assert resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher').backbone.arch == f'V-{teacher[1:]}-eSE'


def test_weights_and_start_are_those_of_centermask_kd():
    distill = load('kd/centermask-lite_v19_from_v19_coco_all.py').model.distill
    # a softmax on a head of sigmoids, as there
    assert distill.cls.reduce == 'sum' and distill.cls.loss.activation == 'softmax'
    assert 'loss_weight' not in distill.cls.loss
    assert 'loss_weight' not in distill.bounded.loss  # 0.5: 1.5 in all
    assert distill.correlation.loss == dict(type='mmkd.FSPLoss', reduction='sum', loss_weight=0.2)  # divided by 5
    assert distill.mse.loss == dict(type='mmkd.FeatureMSELoss')  # the mean over five features
    for term in (distill.correlation, distill.mse):
        assert term.start_iter == 500
        assert term.taps == [*(f'backbone.stage{i}' for i in (2, 3, 4, 5)), 'neck.fpn_convs.4']
        assert term.connector == [None] * 4 + ['conv1x1']


@pytest.mark.parametrize('name', QUICK)
def test_quick_rows_are_the_students_own_config_with_a_teacher(name):
    cfg, plain = load(f'_quick_/{name}.py'), load('_quick_/centermask-lite_efficientnet-lite0_nuclei.py')
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    for key in plain.keys() - ADDED:
        assert cfg[key] == plain[key], key
    row = name.split('_')[-1]
    if row in OTHERS:
        assert set(cfg.model.distill) == {row}
    else:
        assert cfg.model.distill.cls.loss.activation == 'sigmoid'  # a softmax over one class would teach nothing
        assert ('bounded' in cfg.model.distill) == (row != 'kl')
    assert Path(cfg.model.teacher.ckpt).is_file()
    assert all(
        term.start_iter < plain.train_cfg.max_iters for term in cfg.model.distill.values() if 'start_iter' in term
    )


@pytest.mark.parametrize('folder', ['kd', 'centermask_voc'])
def test_metafile_lists_every_config_once(folder):
    models = yaml.safe_load((FOLDER / folder / 'metafile.yml').read_text())['Models']
    names = NAMES if folder == 'kd' else sorted(path.stem for path in FOLDER.glob('centermask_voc/*.py'))
    assert sorted(model['Name'] for model in models if model['Name'] in names) == names
    assert all(Path(model['Config']).stem == model['Name'] for model in models)
    text = (FOLDER.parent / 'model-index.yml').read_text()
    assert f'configs/{folder}/metafile.yml' in text


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
    voc = load(PLAIN['voc']).metainfo['classes']
    for split in ('train', 'val'):
        for folder in (tmp_path / f'coco/{split}2017', tmp_path / f'voc/images/{split}'):
            folder.mkdir(parents=True)
            for i in (1, 2):
                Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(folder / f'{i}.jpg')
        (tmp_path / 'coco/annotations').mkdir(exist_ok=True)
        coco_json = annotations(CocoDataset.METAINFO['classes'], rle=False)
        (tmp_path / f'coco/annotations/instances_{split}2017.json').write_text(coco_json)
        (tmp_path / f'voc/instances_{split}.json').write_text(annotations(voc, rle=True))
    monkeypatch.setenv('MMKD_COCO_ROOT', str(tmp_path / 'coco'))
    monkeypatch.setenv('MMKD_VOC_INSTANCE_ROOT', str(tmp_path / 'voc'))
    return tmp_path


@pytest.mark.parametrize('split', ['train', 'val'])
def test_voc_instances_are_read_with_their_bitmaps_and_all_twenty_classes(roots, split):
    init_default_scope('mmdet')
    cfg = Config.fromfile(FOLDER / PLAIN['voc'])
    assert cfg[f'{"train" if split == "train" else "val"}_dataloader'].dataset.data_root == f'{roots}/voc/'
    dataset = DATASETS.build(cfg[f'{split}_dataloader'].dataset)
    assert len(dataset) == 2 and len(dataset.metainfo['classes']) == 20 == cfg.model.bbox_head.num_classes
    sample = dataset[0]['data_samples']
    assert sample.ori_shape == (40, 60) and min(sample.img_shape) in (580, 600)
    assert sample.gt_instances.labels.tolist() == [19, 18]
    if split == 'train':
        height, width = sample.img_shape
        area = sample.gt_instances.masks.masks[0].sum() / (height * width)
        assert area == pytest.approx(30 * 30 / (40 * 60), rel=0.02)
    assert cfg.val_evaluator.ann_file == f'{roots}/voc/instances_val.json'


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
    cfg = Config.fromfile(FOLDER / name)
    cfg.work_dir = str(work_dir)
    for key in ('train', 'val', 'test'):
        loader = cfg[f'{key}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False)
        for step in loader.dataset.pipeline:
            if step.type == 'RandomChoiceResize':
                step.scales = [(96, 64)]
            elif step.type == 'Resize':
                step.scale = (96, 64)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'WARNING'
    teacher = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    shrink(cfg.model.student, 32)
    shrink(teacher, 64)
    cfg.model.teacher = ConfigDict(**teacher, ckpt=None, allow_random=True)
    cfg.model.dry_run = dict(size=(64, 96))
    for term in cfg.model.distill.values():
        if 'start_iter' in term:
            term.start_iter = 1
    return cfg


# with a reduced teacher the rows of V-39 and V-99 are those of V-19
@pytest.mark.slow
@pytest.mark.parametrize('name', [name for name in NAMES if '_from_v19_' in name])
def test_config_trains_evaluates_and_resumes(name, roots):
    runner = Runner.from_cfg(reduced(f'kd/{name}.py', roots / 'run'))
    runner.train()
    logged = {
        key.removeprefix('train/distill.loss_'): buffer.data[0].tolist()
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith('train/distill')
    }
    several = dict(bounded=('bounded_bbox', 'bounded_centerness'), mask=('mask_mask', 'mask_iou'))
    terms = TERMS[parts_of(name)[2]]
    assert set(logged) == {key for term in terms for key in several.get(term, (term,))}
    for term in terms & {'correlation', 'mse'}:
        assert logged[term][0] == 0 < logged[term][1]
    assert all(logged[key][0] > 0 for key in logged if key.startswith(('cls', 'mask')))

    cfg = reduced(f'kd/{name}.py', roots / 'run')
    cfg.resume = True
    cfg.train_cfg.max_iters = 3
    resumed = Runner.from_cfg(cfg)
    resumed.optim_wrapper = resumed.build_optim_wrapper(resumed.optim_wrapper)
    resumed.load_or_resume()
    assert resumed.iter == 2
    assert equal(resumed.model.state_dict(), runner.model.state_dict())
    assert equal(*(run.optim_wrapper.state_dict()['state'] for run in (resumed, runner)))  # the momenta
    resumed.train()
    assert resumed.iter == 3
    assert (roots / 'run' / 'iter_3_student.pth').is_file()

    # something is found: boxes of two strides with even chances
    for conv in (resumed.model.student.bbox_head.conv_cls, resumed.model.student.bbox_head.conv_reg):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.ones_(conv.bias)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= resumed.test().keys()


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
