"""Every shipped config: it is read, its model built, trained for a step and asked for predictions, at a small size."""

import difflib
import itertools
import re
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData

from mmkd.registry import MODELS
from mmkd.utils.model_config import resolve_network
from mmkd.utils.student import is_distillation, student_config

NAMES = shipped_configs()
# The others take a few seconds each, the largest some more.
QUICK = (
    'projects/nuclei_example/configs/centermask-lite_efficientnet-lite0_nuclei.py',
    'configs/espnet/espnet_40k_camvid-480x360.py',
)
# The rows of CenterMask distillation have a part of the terms of `all` each; test_centermask_kd_configs.py trains them.
STEPPED = [name for name in NAMES if not re.match(r'configs/kd/centermask_kd/.*_head-', name)]
SIZE = (64, 96)  # height, width


@cache
def small_config(name: str) -> Config:
    """The config with random weights in place of pretrained ones, and without a threshold on untrained scores."""
    cfg = Config.fromfile(ROOT / name)
    if is_distillation(cfg.model):
        cfg.model.student = resolve_network(cfg.model.student, 'student')
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
    if 'mmkd.TimmBackbone' in str(small_config(name).model):
        pytest.importorskip('timm')
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
    text = (ROOT / name).read_text()
    assert not [word for word in ('/home/', '/root/', '/tmp/', '/work/') if word in text]


KD = shipped_configs('configs/kd')


@pytest.mark.parametrize('name', KD)
def test_a_kd_config_says_first_what_it_reproduces(name):
    comment = ' '.join(itertools.takewhile(lambda line: line[:1] == '#', (ROOT / name).read_text().splitlines()))
    comment = comment.replace(' # ', ' ')
    assert re.search(r'[Pp]ublished.*\d\d|No published number|Nobody has published', comment), comment


def test_kd_configs_are_not_one_line_apart():
    """One row, one file: what differs by a word is an option in the table of a README."""
    lines = {name: [line for line in (ROOT / name).read_text().splitlines() if line] for name in KD}
    for a, b in itertools.combinations(KD, 2):
        blocks = difflib.SequenceMatcher(None, lines[a], lines[b], autojunk=False).get_matching_blocks()
        common = sum(block.size for block in blocks)
        assert max(len(lines[a]), len(lines[b])) - common > 1, f'{a} and {b}'


def test_every_config_stands_once_in_the_metafile_of_its_folder():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    assert sorted(index) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('configs/**/metafile.yml'))
    listed = []
    for path in index:
        content = yaml.safe_load((ROOT / path).read_text())
        collections = {collection['Name'] for collection in content['Collections']}
        assert all((ROOT / collection['README']).is_file() for collection in content['Collections']), path
        for model in content['Models']:
            assert model['In Collection'] in collections, f'{path}: {model}'
            assert ROOT / model['Config'] == (ROOT / path).parent / f'{model["Name"]}.py'
            listed.append(model['Config'])
    assert sorted(listed) == shipped_configs('configs')


def test_readmes_of_methods_name_each_of_their_configs():
    for name in shipped_configs('configs'):
        readme = (ROOT / name).parent / 'README.md'
        assert f'({(ROOT / name).name})' in readme.read_text(), name


def test_data_and_weights_have_one_variable_each():
    """MMKD_DATA is the folder of all data sets, MMKD_PRETRAINED that of all weights."""
    texts = {path: path.read_text() for folder in ('configs', 'projects') for path in (ROOT / folder).rglob('*.py')}
    found = {path: set(re.findall(r'\{\{\s*\$(\w+)', text)) for path, text in texts.items()}
    assert {str(path): names for path, names in found.items() if not names <= {'MMKD_DATA', 'MMKD_PRETRAINED'}} == {}


# detector.py is no model, but what models of detectors have in common
MODEL_BASES = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob('configs/_base_/models/*.py') if path.name != 'detector.py'
)


@pytest.mark.parametrize('name', shipped_configs('configs') + MODEL_BASES)
def test_a_config_may_be_inherited_from_the_package(name, tmp_path):
    """mmengine marks what it inherits with a scope. What mmcv builds, norms and the like, must not have such a mark."""
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmkd::{name.removeprefix('configs/')}'\n")
    student = student_config(Config.fromfile(tmp_path / 'mine.py').model)
    assert [part for part in _dicts(student) if '_scope_' in part and part is not student] == []


def test_the_folders_of_data_and_weights_come_from_the_environment(monkeypatch):
    path = ROOT / 'configs/kd/centermask_v19_from_v99.py'
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.dataset.data_root == 'data/coco/'
    assert cfg.model.teacher.ckpt == 'checkpoints/centermask_v99.pth'
    assert cfg.model.student.backbone.init_cfg.checkpoint == 'checkpoints/vovnet19_ese_detectron2.pth'
    monkeypatch.setenv('MMKD_DATA', '/sets')
    monkeypatch.setenv('MMKD_PRETRAINED', '/weights')
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.dataset.data_root == '/sets/coco/'
    assert cfg.model.teacher.ckpt == '/weights/centermask_v99.pth'
    assert cfg.model.student.backbone.init_cfg.checkpoint == '/weights/vovnet19_ese_detectron2.pth'
