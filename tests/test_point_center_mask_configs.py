"""The configs of CenterMask with point representation through the runner at a reduced size, and what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from PIL import Image

from mmkd.apis.convert import build_on_meta

FOLDER = Path(__file__).parents[1] / 'configs'
NAMES = sorted(path.stem for path in FOLDER.glob('point_centermask/*.py'))
KD = 'kd/point_centermask/point-centermask-hourglass104_point-centermask-dla34_130e_coco.py'
QUICK = '../projects/reduced_runs/configs/nuclei_points.py'
SIZE = 64


def load(name):
    return Config.fromfile(FOLDER / (name if '/' in name else f'point_centermask/{name}.py'))


# ---------------------------------------------------------------------------------------------------- what configs say


def test_there_is_a_config_for_each_backbone_and_data_set():
    assert [f'point-centermask_{b}_130e_{d}' for b in ('dla34', 'hourglass104') for d in ('coco', 'voc')] == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_schedule_is_the_papers(name):
    cfg = load(name)
    (schedule,) = cfg.param_scheduler
    assert cfg.train_cfg.max_epochs == schedule.end == 130
    assert (schedule.milestones, schedule.gamma, schedule.by_epoch) == ([100, 120], 0.1, True)
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=2.5e-4)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 32
    assert cfg.default_hooks.checkpoint.by_epoch and cfg.log_processor.by_epoch
    assert cfg.train_dataloader.sampler.type == 'DefaultSampler' and cfg.train_dataloader.batch_sampler is None


@pytest.mark.parametrize('name', NAMES)
def test_losses_and_test_settings_are_the_papers(name):
    head = load(name).model.bbox_head
    weights = [head[f'loss_{part}'].loss_weight for part in ('heatmap', 'offset', 'size', 'mask')]
    assert weights == [1.0, 1.0, 0.1, 1.0]
    assert (head.loss_heatmap.alpha, head.loss_heatmap.beta, head.shape_size) == (2.0, 4.0, 32)
    assert head.num_classes == (80 if name.endswith('coco') else 20)
    test_cfg = load(name).model.test_cfg
    assert (test_cfg.max_per_img, test_cfg.mask_thr, test_cfg.local_maximum_kernel) == (100, 0.4, 3)


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        # DLA-34, its neck with 16 deformable layers, five branches
        ('point-centermask_dla34_130e_coco', 15_229_104 + 3_001_472 + 300_800 + 1_043_876),
        ('point-centermask_hourglass104_130e_coco', None),
    ],
)
def test_parameters(name, parameters):
    model = build_on_meta(load(name))
    total = sum(parameter.numel() for parameter in model.parameters())
    offsets = sum(p.numel() for key, p in model.named_parameters() if 'conv_offset' in key)
    if parameters is not None:
        assert total - offsets == parameters
        # 27 channels of offsets and weights for each 3 x 3 convolution
        assert sum('conv_offset.weight' in key for key, _ in model.named_parameters()) == 16
    else:
        assert 180e6 < total < 200e6
        assert len(model.bbox_head.auxiliary_heads) == 1 and not model.with_neck


def test_distillation_config_is_the_students_own_with_a_teacher():
    cfg, plain = load(KD), load('point-centermask_dla34_130e_coco')
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    for key in set(plain.keys()) - {'model'}:
        assert cfg[key] == plain[key], key
    losses = {name: entry.loss.type for name, entry in cfg.model.distill.items()}
    pixel = dict.fromkeys(('heatmap', 'shape', 'saliency'), 'mmkd.PixelWiseLoss')
    assert losses == pixel | dict(feature='mmkd.PairWiseLoss')


# -------------------------------------------------------------------------------------------------------- small runs


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two images with a person each, laid out as COCO and as VOC."""
    images, annotations = [], []
    folders = {'coco': ('train2017', 'val2017'), 'voc_instance': ('images/train', 'images/val')}
    for i in range(2):
        picture = np.random.default_rng(i).integers(0, 256, (60, 80, 3)).astype(np.uint8)
        for root, pair in folders.items():
            for folder in pair:
                (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(tmp_path / root / folder / f'{i}.jpg')
        images.append(dict(id=i + 1, file_name=f'{i}.jpg', height=60, width=80))
        box = [10 + 5 * i, 8, 44, 40]
        x1, y1, x2, y2 = box[0], box[1], box[0] + box[2], box[1] + box[3]
        annotations.append(
            dict(
                id=i + 1, image_id=i + 1, category_id=1, iscrowd=0, area=box[2] * box[3], bbox=box,
                segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]],
            )
        )  # fmt: skip
    content = json.dumps(dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')]))
    (tmp_path / 'coco/annotations').mkdir()
    for split in ('train', 'val'):
        (tmp_path / f'coco/annotations/instances_{split}2017.json').write_text(content)
        (tmp_path / f'voc_instance/instances_{split}.json').write_text(content)
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return tmp_path


def shrink_network(model):
    model.bbox_head.update(feat_channels=8, shape_size=8)
    model.test_cfg.update(score_thr=0.0, max_per_img=5)
    if model.backbone.type == 'HourglassNet':
        model.backbone.update(downsample_times=2, stage_channels=[8, 8, 16], stage_blocks=[1, 1, 1], feat_channel=16)
        model.data_preprocessor.pad_size_divisor = 16
        model.bbox_head.in_channels = 16
    else:
        model.backbone.update(depth='46_c')
        model.neck.update(in_channels=(64, 64, 128, 256))


def reduced(name, work_dir, epochs=1):
    cfg = load(name)
    cfg.work_dir = str(work_dir)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.update(batch_size=2)
    cfg.val_dataloader.dataset.indices = cfg.test_dataloader.dataset.indices = 2
    student = cfg.model.get('student', cfg.model)
    shrink_network(student)
    if name == QUICK:
        student.neck.update(in_channels=(64, 64, 128))
        cfg.train_cfg.update(max_iters=epochs, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
        cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = cfg.data_root + 'instances_val.json'
    else:
        cfg.train_cfg.update(max_epochs=epochs, val_interval=1)
        cfg.default_hooks.checkpoint.interval = 1
        for step in cfg.train_dataloader.dataset.pipeline:
            step.update({key: (SIZE, SIZE) for key in ('crop_size', 'scale') if key in step})
        cfg.train_dataloader.dataset.metainfo = cfg.val_dataloader.dataset.metainfo = dict(classes=('person',))
        student.bbox_head.num_classes = 1
    if name == KD:
        teacher = load('point-centermask_hourglass104_130e_coco').model
        shrink_network(teacher)
        teacher.bbox_head.num_classes = 1
        path = Path(work_dir).parent / 'teacher.py'
        Config(dict(model=teacher, default_scope='mmdet')).dump(path)
        cfg.model.teacher = ConfigDict(cfg_path=str(path), ckpt=None, allow_random=True)
        cfg.model.dry_run = dict(size=(SIZE, SIZE))
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', [*NAMES, KD, QUICK])
def test_config_trains_evaluates_and_resumes(name, data):
    runner = Runner.from_cfg(reduced(name, data / 'run'))
    runner.train()
    logged = {key.removeprefix('train/') for key in runner.message_hub.log_scalars if key.startswith('train/')}
    prefix = 'student.' if name == KD else ''
    expected = {f'{prefix}loss_{part}' for part in ('heatmap', 'offset', 'size', 'mask')}
    if name == KD:
        expected |= {f'distill.loss_{part}' for part in ('heatmap', 'shape', 'saliency', 'feature')}
    assert expected <= logged, logged
    assert {'val/coco/bbox_mAP', 'val/coco/segm_mAP'} <= set(runner.message_hub.log_scalars)

    cfg = reduced(name, data / 'run', epochs=2)
    cfg.resume = True
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    assert resumed.iter == 2 * runner.iter > 0
    assert (data / 'run' / ('iter_2.pth' if name == QUICK else 'epoch_2.pth')).is_file()


def test_flipped_views_are_merged(data):
    import torch
    from mmengine.registry import init_default_scope

    from mmkd.registry import DATASETS, MODELS

    init_default_scope('mmdet')
    cfg = reduced(NAMES[0], data / 'run')
    torch.manual_seed(0)
    network = MODELS.build(cfg.model)
    network.init_weights()
    torch.nn.init.zeros_(network.bbox_head.offset_head[-1].weight)
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = cfg.tta_pipeline
    item = DATASETS.build(dataset)[0]
    assert len(item['inputs']) == 2
    model = MODELS.build(cfg.tta_model | dict(module=network)).eval()
    with torch.no_grad():
        (result,) = model.test_step({key: [[view] for view in values] for key, values in item.items()})
    assert 0 < len(result.pred_instances) <= 10
    assert result.pred_instances.masks.shape[1:] == (60, 80)
