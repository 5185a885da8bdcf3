"""Every shipped config: it is read, its model built, trained for a step and asked for predictions, at a small size."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData

from mmkd.registry import MODELS
from mmkd.utils.student import is_distillation, student_config

FOLDER = Path(__file__).parents[1] / 'configs'
# the data and the schedule of others
NO_MODEL = {f'_quick_/{data}.py' for data in ('camvid', 'nuclei', 'sevenscenes', 'voc2012', 'voc_boxes')}
NAMES = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob('*.py') if '_base_' not in p.parts)
NAMES = [name for name in NAMES if name not in NO_MODEL]
# The others take a few seconds each, the largest some more.
QUICK = ('_quick_/centermask-lite_efficientnet-lite0_nuclei.py', 'espnet/espnet_40k_camvid-480x360.py')
# The rows of CenterMask distillation have a part of the terms of `all` each; test_centermask_kd_configs.py trains them.
STEPPED = [name for name in NAMES if not re.match(r'kd/centermask-lite_v19_from_v\d+_(coco|voc)_(?!all)', name)]
SIZE = (64, 96)  # height, width


@cache
def small_config(name: str) -> Config:
    """The config with random weights in place of pretrained ones, and without a threshold on untrained scores."""
    cfg = Config.fromfile(FOLDER / name)
    if is_distillation(cfg.model):
        cfg.model.teacher.update(ckpt=None, allow_random=True)
        cfg.model.dry_run = dict(size=SIZE)
    for part in _dicts(cfg.model):
        if isinstance(part.get('init_cfg'), dict) and part.init_cfg.get('type') == 'Pretrained':
            part.init_cfg = None
        if 'score_thr' in part and 'max_per_img' in part:
            part.update(score_thr=0.0, max_per_img=3)
        if part.get('type') in ('SegDataPreProcessor', 'mmseg.SegDataPreProcessor'):
            part.update(size=SIZE)
        if part.get('mode') == 'slide':  # of an mmseg test_cfg: the windows are as large as the training crops
            part.mode = 'whole'
    return cfg


def _dicts(node):
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, (list, tuple)) else []:
        yield from _dicts(value)


def detection_batch(num_classes: int, polygons: bool) -> dict:
    """Two images with an object each, as mmdet's data loader gives them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks, PolygonMasks

    height, width = SIZE
    inputs, samples = [], []
    for i in range(2):
        x1, y1, x2, y2 = 8 + i, 10, 50, 44 + i
        mask = np.zeros((1, height, width), np.uint8)
        mask[0, y1:y2, x1:x2] = 1
        outline = np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)
        sample = DetDataSample(
            metainfo=dict(
                img_id=i, img_path='', img_shape=SIZE, ori_shape=(height // 2, width // 2), scale_factor=(2.0, 2.0)
            )
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32),
            labels=torch.tensor([num_classes - 1]),
            masks=PolygonMasks([[outline]], height, width) if polygons else BitmapMasks(mask, height, width),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        inputs.append(_image())
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def segmentation_batch(num_classes: int) -> dict:
    """Two images with random class maps, as mmseg's data loader gives them."""
    from mmseg.structures import SegDataSample

    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE, img_path=''))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, num_classes, (1, *SIZE)))
        samples.append(sample)
    return dict(inputs=[_image(), _image()], data_samples=samples)


def depth_batch() -> dict:
    """Two images with random depths and a camera, as mmseg's data loader gives them."""
    batch = segmentation_batch(1)
    for sample in batch['data_samples']:
        sample.gt_depth_map = PixelData(data=torch.rand(1, *SIZE) * 5 + 1)
        sample.set_metainfo(dict(intrinsics=(80.0, 80.0, 47.5, 31.5)))
    return batch


def _image() -> torch.Tensor:
    return torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)


def batch_for(cfg: Config) -> dict:
    student = student_config(cfg.model)
    if student.type == 'DepthEstimator':
        return depth_batch()
    if cfg.default_scope == 'mmseg':
        return segmentation_batch(student.decode_head.num_classes)
    heads = [part for part in (student.get('bbox_head'), student.get('roi_head', {}).get('bbox_head')) if part]
    steps = cfg.train_dataloader.dataset.pipeline
    polygons = any(step.type == 'mmkd.LoadInstanceAnnotations' for step in steps)
    return detection_batch(heads[0].num_classes, polygons)


def _predict_boxes_of_some_size(model: torch.nn.Module) -> None:
    """Distances of about a stride: those of an untrained FCOS head make boxes of no area, which are dropped."""
    head = getattr(model, 'bbox_head', None)
    conv = getattr(head, 'conv_reg', None)
    if conv is not None:
        torch.nn.init.constant_(conv.bias, 1.0)
    if hasattr(head, 'offset_head'):  # whose random centres may all be far outside
        torch.nn.init.zeros_(head.offset_head[-1].weight)


@pytest.fixture
def build():
    """Builds the model of a config in the scope of the config."""
    scopes = []

    def build(name: str):
        cfg = small_config(name)
        scope = DefaultScope.overwrite_default_scope(cfg.default_scope)
        scope.__enter__()
        scopes.append(scope)
        torch.manual_seed(0)
        return cfg, revert_sync_batchnorm(MODELS.build(ConfigDict(cfg.model.to_dict())))

    yield build
    for scope in scopes:
        scope.__exit__(None, None, None)


@pytest.mark.parametrize(
    'name', [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in STEPPED]
)
def test_model_trains_a_step_and_predicts(name, build):
    cfg, model = build(name)
    batch = batch_for(cfg)
    with_gradient = set()
    trainable = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
    for key, parameter in trainable.items():
        parameter.register_hook(lambda _, key=key: with_gradient.add(key))

    model.train()
    log = model.train_step(batch, build_optim_wrapper(model, cfg.optim_wrapper))

    assert log and all(torch.isfinite(torch.as_tensor(value)).all() for value in log.values()), log
    assert log['loss'] > 0
    # a parameter without gradient would stop DistributedDataParallel, which the configs use without a search for them
    assert sorted(set(trainable) - with_gradient) == []

    model.eval()
    _predict_boxes_of_some_size(getattr(model, 'student', model))
    with torch.no_grad():
        results = model.test_step(batch_for(cfg))
    assert len(results) == 2
    for sample in results:
        if student_config(cfg.model).type == 'DepthEstimator':
            assert sample.pred_depth_map.data.shape == (1, *SIZE) and sample.pred_depth_map.data.min() > 0
        elif cfg.default_scope == 'mmseg':
            assert sample.pred_sem_seg.data.shape == (1, *SIZE)
        else:
            found = sample.pred_instances
            assert 0 < len(found) <= 3
            if hasattr(getattr(model, 'student', model), 'roi_head'):  # one that predicts masks
                assert found.masks.shape == (len(found), *sample.ori_shape)


@pytest.mark.parametrize('name', NAMES)
def test_config_names_no_file_of_one_machine(name):
    text = (FOLDER / name).read_text()
    assert not [word for word in ('/home/', '/root/', '/tmp/', '/work/') if word in text]
