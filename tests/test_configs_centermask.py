"""The shipped CenterMask configs: networks, schedules and data as published."""

import copy
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from PIL import Image

from mmkd.apis.convert import build_on_meta
from mmkd.registry import DATASETS, MODELS

FOLDER = Path(__file__).parents[1] / 'configs' / 'centermask'
NAMES = sorted(path.stem for path in FOLDER.glob('*_coco.py'))
LITE = [name for name in NAMES if name.startswith('centermask-lite')]
FULL = [name for name in NAMES if name not in LITE]
FULL_SCALES = [(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)]


@cache
def load(name):
    return Config.fromfile(FOLDER / f'{name}.py')


@pytest.fixture(autouse=True)
def detection_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def test_there_is_a_config_for_every_published_model():
    expected = {f'centermask_{b}_fpn_ms-3x_coco' for b in ('v39', 'v57', 'v99', 'r50', 'r101', 'x101')}
    expected |= {f'centermask_{b}-dcn_fpn_ms-3x_coco' for b in ('v39', 'v57', 'v99')}
    lite = ('v19', 'v19-slim', 'v19-slim-dw', 'v39', 'mobilenetv2')
    expected |= {f'centermask-lite_{b}_fpn_ms-4x_coco' for b in lite}
    assert expected <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_config_is_short_and_stands_on_base_files(name):
    text = (FOLDER / f'{name}.py').read_text()
    assert '_base_ = ' in text
    assert len(text.splitlines()) < 40


# ------------------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        ('centermask_v19_fpn_ms-3x_coco', 37_625_676),
        ('centermask_v39_fpn_ms-3x_coco', 52_629_388),
        ('centermask_v57_fpn_ms-3x_coco', 68_900_172),
        ('centermask_v99_fpn_ms-3x_coco', 96_968_780),
        ('centermask_v39-dcn_fpn_ms-3x_coco', 54_402_991),
        pytest.param('centermask_v57-dcn_fpn_ms-3x_coco', 71_887_236, marks=pytest.mark.slow),
        pytest.param('centermask_v99-dcn_fpn_ms-3x_coco', 102_382_901, marks=pytest.mark.slow),
        ('centermask_r50_fpn_ms-3x_coco', 51_280_972),
        ('centermask_r101_fpn_ms-3x_coco', 70_273_100),
        ('centermask_x101_fpn_ms-3x_coco', 114_515_276),
        ('centermask-lite_v19-slim-dw_fpn_ms-4x_coco', 11_182_524),
        ('centermask-lite_v19-slim_fpn_ms-4x_coco', 12_450_908),
        ('centermask-lite_v19-dw_fpn_ms-4x_coco', 15_463_308),
        ('centermask-lite_v19_fpn_ms-4x_coco', 20_125_644),
        ('centermask-lite_v39_fpn_ms-4x_coco', 35_129_356),
        ('centermask-lite_mobilenetv2_fpn_ms-4x_coco', 11_519_372),
        ('centermask1_v39_fpn_ms-3x_coco', 52_629_388),
        ('mask-rcnn_v39-sag-mask_fpn_ms-3x_coco', 45_744_770),
    ],
)
def test_model_has_the_published_number_of_parameters_and_trains_what_the_original_trains(name, parameters):
    model = build_on_meta(load(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    is_resnet = load(name).model.backbone.type.startswith('Res')
    for key, parameter in model.backbone.named_parameters():
        is_convolution = parameter.ndim == 4 or '.ese.fc.' in key or '.conv_offset.' in key
        # detectron2's FREEZE_AT 2 for ResNets: the stem and the first stage.
        is_frozen_stage = is_resnet and key.startswith(('conv1', 'layer1'))
        assert parameter.requires_grad == (is_convolution and not is_frozen_stage), key
    assert model.backbone.norm_eval
    assert all(parameter.requires_grad for key, parameter in model.named_parameters() if not key.startswith('backbone'))


def test_every_config_is_counted_above():
    marks = test_model_has_the_published_number_of_parameters_and_trains_what_the_original_trains.pytestmark
    counted = [getattr(row, 'values', row)[0] for row in marks[0].args[1]]
    assert sorted(counted) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_images_are_bgr_without_scaling_and_padded_to_multiples_of_32(name):
    preprocessor = load(name).model.data_preprocessor
    std = [57.375, 57.12, 58.395] if 'x101' in name else [1.0, 1.0, 1.0]
    mean = [102.9801, 115.9465, 122.7717] if name.startswith('centermask1') else [103.53, 116.28, 123.675]
    assert (preprocessor.mean, preprocessor.std) == (mean, std)
    assert (preprocessor.bgr_to_rgb, preprocessor.pad_size_divisor, preprocessor.pad_mask) == (False, 32, True)


# ------------------------------------------------------------------------------------------------------------ schedule


@pytest.mark.parametrize('name', NAMES)
def test_schedule_is_the_published_one(name):
    cfg = load(name)
    iterations, steps = (360000, [300000, 340000]) if name in LITE else (270000, [210000, 250000])
    warm_up, decay = cfg.param_scheduler
    assert cfg.train_cfg.max_iters == decay.end == iterations
    assert (decay.milestones, decay.gamma) == (steps, 0.1)
    assert (warm_up.type, warm_up.start_factor, warm_up.begin, warm_up.end) == ('LinearLR', 0.001, 0, 1000)
    assert not any(scheduler.by_epoch for scheduler in cfg.param_scheduler)
    optimizer = dict(cfg.optim_wrapper.optimizer)
    assert optimizer == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0001)
    assert cfg.optim_wrapper.paramwise_cfg == dict(norm_decay_mult=0.0)
    assert cfg.default_hooks.checkpoint == dict(type='CheckpointHook', by_epoch=False, interval=10000)
    # 8 GPUs with as many images each as a data loader gives.
    assert cfg.auto_scale_lr.base_batch_size == 16 == 8 * cfg.train_dataloader.batch_size


# ---------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize('name', NAMES)
def test_image_sizes_are_the_published_ones(name):
    cfg = load(name)
    scales, test_scale = ([(1000, 580), (1000, 600)], (1000, 600)) if name in LITE else (FULL_SCALES, (1333, 800))
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['RandomChoiceResize'].scales == scales
    assert steps['RandomFlip'].prob == 0.5
    for dataloader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = next(step for step in dataloader.dataset.pipeline if step.type == 'Resize')
        assert (resize.scale, resize.keep_ratio, resize.backend) == (test_scale, True, 'pillow')
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert (evaluator.type, evaluator.metric) == ('CocoMetric', ['bbox', 'segm'])


@pytest.fixture
def coco(tmp_path, monkeypatch):
    """A COCO 2017 of one image of 40 x 30 in each set: one person, one crowd."""
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    root = tmp_path / 'coco'
    image = Image.fromarray(np.random.RandomState(0).randint(0, 255, (30, 40, 3), dtype=np.uint8))
    polygon = [4.0, 6.0, 20.0, 6.0, 20.0, 24.0]
    person = dict(id=1, image_id=7, category_id=1, iscrowd=0, area=144.0, bbox=[4.0, 6.0, 16.0, 18.0])
    annotations = dict(
        images=[dict(id=7, file_name='7.jpg', height=30, width=40)],
        annotations=[person | dict(segmentation=[polygon])],
        categories=[dict(id=1, name='person')],
    )
    (root / 'annotations').mkdir(parents=True)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        image.resize((40, 40)).crop((0, 0, 40, 30)).save(root / split / '7.jpg')
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(annotations))
    return root


def test_data_of_the_environments_folder_keep_their_polygons_and_get_a_published_size(coco):
    init_default_scope('mmdet')
    cfg = Config.fromfile(FOLDER / 'centermask-lite_v19_fpn_ms-4x_coco.py')
    assert cfg.val_evaluator.ann_file == f'{coco}/annotations/instances_val2017.json'
    dataset_cfg = cfg.train_dataloader.dataset
    dataset_cfg.filter_cfg.min_size = 8
    dataset = DATASETS.build(dataset_cfg)
    shapes = set()
    for _ in range(12):
        item = dataset[0]
        sample = item['data_samples']
        height, width = sample.img_shape
        shapes.add((height, width))
        assert item['inputs'].shape == (3, height, width)
        polygon = sample.gt_instances.masks.masks[0][0].reshape(-1, 2)
        assert polygon.max(axis=0)[1] == pytest.approx(24 / 30 * height, abs=1)
        box = sample.gt_instances.bboxes.tensor[0].numpy()
        np.testing.assert_allclose(box, [*polygon.min(axis=0), *polygon.max(axis=0)], atol=0.1)
    assert shapes == {(580, 773), (600, 800)}


def test_test_data_are_of_the_test_size(coco):
    init_default_scope('mmdet')
    cfg = Config.fromfile(FOLDER / 'centermask_v39_fpn_ms-3x_coco.py')
    sample = DATASETS.build(cfg.test_dataloader.dataset)[0]['data_samples']
    assert sample.img_shape == (800, 1067)
    assert sample.ori_shape == (30, 40)


def test_folder_of_the_imagenet_weights_comes_from_the_environment(monkeypatch):
    path = FOLDER / 'centermask_v39_fpn_ms-3x_coco.py'
    assert Config.fromfile(path).model.backbone.init_cfg.checkpoint == 'checkpoints/vovnet39_ese_detectron2.pth'
    monkeypatch.setenv('MMKD_PRETRAINED', '/weights')
    assert Config.fromfile(path).model.backbone.init_cfg.checkpoint == '/weights/vovnet39_ese_detectron2.pth'


# ------------------------------------------------------------------------------------------------------ running models


@pytest.fixture(scope='module')
def tiny_detector():
    torch.manual_seed(0)  # a network of random weights may find nothing
    cfg = copy.deepcopy(load('centermask-lite_v19-slim-dw_fpn_ms-4x_coco'))
    cfg.model.backbone.init_cfg = None
    cfg.model.test_cfg.bbox.update(score_thr=0.0, max_per_img=30)
    cfg.model.train_cfg.rpn_proposal.update(score_thr=0.0, max_per_img=10)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model


def test_shipped_model_trains_and_predicts(tiny_detector):
    from mmdet.testing import demo_mm_inputs

    data = demo_mm_inputs(2, [[3, 96, 128], [3, 64, 64]], num_items=[2, 0], num_classes=80, with_mask=True)
    data = tiny_detector.data_preprocessor(data, training=True)
    losses = tiny_detector.train()(**data, mode='loss')
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loss_centerness', 'loss_mask', 'loss_mask_iou'}
    total, _ = tiny_detector.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    without = [k for k, p in tiny_detector.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    tiny_detector.eval()
    with torch.no_grad():
        results = tiny_detector(**data, mode='predict')
    assert results[0].pred_instances.masks.shape[1:] == (96, 128)
    assert len(results[0].pred_instances.mask_scores) == len(results[0].pred_instances) > 0


def test_test_time_augmentation_of_the_configs_runs(coco, tiny_detector):
    init_default_scope('mmdet')
    cfg = Config.fromfile(FOLDER / 'centermask-lite_v19_fpn_ms-4x_coco.py')
    for view in cfg.tta_pipeline[1].transforms[0]:
        view.scale = (96, 64)
    dataset_cfg = cfg.test_dataloader.dataset
    dataset_cfg.pipeline = cfg.tta_pipeline
    item = DATASETS.build(dataset_cfg)[0]
    assert len(item['inputs']) == 6  # three sizes, each also flipped
    tta_cfg = cfg.tta_model | dict(module=tiny_detector)
    model = MODELS.build(tta_cfg).eval()
    batch = {key: [[view] for view in values] for key, values in item.items()}
    with torch.no_grad():
        (result,) = model.test_step(batch)
    assert result.pred_instances.masks.shape[1:] == (30, 40)
    assert 0 < len(result.pred_instances) <= 100


def test_a_missing_pretrained_file_is_named_when_training_starts_and_not_before(tmp_path, monkeypatch):
    monkeypatch.setenv('MMKD_PRETRAINED', str(tmp_path))
    model = MODELS.build(Config.fromfile(FOLDER / 'centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py').model)
    missing = f'backbone.init_cfg.checkpoint: checkpoint {tmp_path}/vovnet19_ese_slim_dw'
    with pytest.raises(FileNotFoundError, match=missing):
        model.init_weights()


def test_readmes_way_to_start_from_random_weights_trains_the_norms():
    cfg = Config.fromfile(FOLDER / 'centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py')
    cfg.merge_from_dict(
        {
            'model.backbone.init_cfg': None,
            'model.backbone.norm_cfg.requires_grad': True,
            'model.backbone.norm_eval': False,
        }
    )
    model = build_on_meta(cfg).train()
    assert model.backbone.stem.stem_1.norm.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.backbone.init_cfg[0]['type'] == 'Kaiming'
