"""The configs of DeepLabV3+-KD through the runner, at a reduced size, and what they say."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.config_runs import go_on, pipeline_steps, reduce_networks, short_run, write_image
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.registry import MODELS

FOLDER = ROOT / 'configs'
PLAIN = [name.removeprefix('configs/') for name in shipped_configs('configs/deeplabv3plus')]
KD = [name.removeprefix('configs/') for name in shipped_configs('configs/kd/deeplabv3plus_kd')]
REDUCED = [f'../{name}' for name in shipped_configs('projects/reduced_runs') if '/voc2012_c' in name]
R18_OVERHAUL, MOBILENETV2_OVERHAUL = (
    f'kd/deeplabv3plus_kd/deeplabv3plus-r101_deeplabv3plus-{student}_120e_voc2012_overhaul.py'
    for student in ('r18', 'mobilenetv2')
)
QUICK = ('deeplabv3plus/deeplabv3plus_r18_120e_voc2012-513x513.py',)
SIZE = (65, 65)
IMAGE = (60, 80)


@pytest.fixture
def voc(tmp_path, monkeypatch):
    """Four images of noise in the layout of VOCdevkit and in folders by split, with names of three kinds of lists."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'voc2012'
    lists = root / 'ImageSets' / 'Segmentation'
    lists.mkdir(parents=True)
    for split in ('train', 'val', 'test'):
        names = [f'2007_00000{i}_{split}' for i in range(2)]
        (lists / f'{split}.txt').write_text('\n'.join(names) + '\n')
        for name in names:
            image = rng.integers(0, 256, (*IMAGE, 3), np.uint8)
            label = rng.integers(0, 21, IMAGE, np.uint8)
            label[:5] = 255
            for folder in ('JPEGImages', f'images/{split}'):
                write_image(root / folder / f'{name}.jpg', image)
            for folder in ('SegmentationClass', f'annotations/{split}') if split != 'test' else ():
                write_image(root / folder / f'{name}.png', label)
    (tmp_path / 'VOCdevkit').mkdir()
    (tmp_path / 'VOCdevkit/VOC2012').symlink_to(root)
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return root


def reduced(name, work_dir):
    """The config with crops of 65 x 65, narrow networks, two iterations and one process."""
    cfg = Config.fromfile(FOLDER / name)
    short_run(cfg, work_dir)
    for step in pipeline_steps(cfg):
        if step.type in ('RandomResize', 'Resize'):
            step.scale = (520, 65)
        elif step.type == 'RandomCrop':
            step.crop_size = SIZE
        elif step.type == 'Pad':
            step.size = SIZE
    reduce_networks(cfg, SIZE, shrink)
    return cfg


def shrink(network):
    """Random weights, and an eighth of the channels of ResNets and heads."""
    network.data_preprocessor.size = SIZE
    network.backbone.init_cfg = None
    network.decode_head.channels = 16
    if 'depth' in network.backbone:
        expansion = 4 if network.backbone.depth > 34 else 1
        network.backbone.update(base_channels=8, stem_channels=8)
        network.decode_head.update(in_channels=64 * expansion, c1_in_channels=8 * expansion)


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PLAIN + KD + REDUCED]
)
def test_config_trains_evaluates_and_resumes(name, voc, tmp_path):
    runner = Runner.from_cfg(reduced(name, tmp_path / 'run'))
    runner.train()
    scalars = {key: value.current() for key, value in runner.message_hub.log_scalars.items()}
    assert runner.iter == 2
    assert 0 <= scalars['val/mIoU'] <= 100
    distill = runner.cfg.model.get('distill', {})
    task = 'student.decode.loss_ce' if distill else 'decode.loss_ce'
    for loss in (task, *(f'distill.loss_{key}' for key in distill)):
        assert 0 < scalars[f'train/{loss}'] < 1000, loss

    resumed = go_on(runner, reduced(name, tmp_path / 'run'))
    assert (tmp_path / 'run' / 'iter_3_student.pth').is_file() == bool(distill)
    assert resumed.test().keys() >= {'mIoU', 'mAcc', 'aAcc'}


# ---- networks --------------------------------------------------------------------------------------------------------


def built(name):
    cfg = Config.fromfile(FOLDER / name)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        model = MODELS.build(cfg.model)
        model.eval()
    return model


@pytest.mark.parametrize('network, millions', [('r101', 59.3), ('r18', 16.6), ('mobilenetv2', 5.8)])
def test_networks_have_the_published_sizes(network, millions):
    model = built(f'deeplabv3plus/deeplabv3plus_{network}_120e_voc2012-513x513.py')
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    sizes = {}
    for name in ('bottleneck.bn', 'conv2.bn'):
        model.decode_head.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: sizes.update({name: tuple(out.shape[1:])})
        )
    assert model(torch.zeros(1, 3, 513, 513, device='meta')).shape == (1, 21, 129, 129)
    assert sizes == {'bottleneck.bn': (256, 33, 33), 'conv2.bn': (256, 129, 129)}


def test_dilations_are_those_of_the_authors():
    teacher, student, mobile = (
        built(f'deeplabv3plus/deeplabv3plus_{n}_120e_voc2012-513x513.py').backbone
        for n in ('r101', 'r18', 'mobilenetv2')
    )
    assert [block.conv2.dilation[0] for block in teacher.layer4] == [2, 4, 8]
    assert {block.conv2.dilation[0] for name in ('layer1', 'layer2', 'layer3') for block in getattr(teacher, name)} == {
        1
    }
    assert [(b.conv1.dilation[0], b.conv2.dilation[0]) for b in student.layer4] == [(2, 2), (2, 2)]
    assert [(b.conv1.dilation[0], b.conv2.dilation[0]) for b in student.layer3] == [(1, 1), (1, 1)]
    assert teacher.conv1.kernel_size == student.conv1.kernel_size == (7, 7)
    assert [block.conv[-2].conv.dilation[0] for block in mobile.layer6] == [1, 1, 1]
    assert [block.conv[-2].conv.dilation[0] for block in mobile.layer7] == [2]


# ---- schedule and data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', PLAIN)
def test_schedule_is_that_of_the_authors(name):
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.train_cfg.max_iters == 120 * (1464 // 6)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 6
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.007, momentum=0.9, weight_decay=5e-4)
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.power, schedule.end, schedule.by_epoch) == ('PolyLR', 0.9, 29280, False)
    # mean over pixels with a label, divided by the batch of 6 once more
    assert cfg.model.decode_head.loss_decode == dict(
        type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=pytest.approx(1 / 6)
    )


def test_heads_and_connectors_learn_ten_times_as_fast_as_backbones(voc, tmp_path):
    cfg = reduced(R18_OVERHAUL, tmp_path)
    runner = Runner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    names = {parameter: name for name, parameter in runner.model.named_parameters()}
    rates = {}
    for group in wrapper.optimizer.param_groups:
        for parameter in group['params']:
            part = names[parameter].removeprefix('architecture.').split('.')[0]
            rates.setdefault(part, set()).add(round(group['lr'], 9))
    assert rates == {'backbone': {0.007}, 'decode_head': {0.07}, 'distiller': {0.07}}


@pytest.mark.parametrize('name', ['voc2012_513x513', 'voc2012_folders'])
def test_crops_are_padded_with_black_and_ignored(name, voc):
    cfg = Config.fromfile(FOLDER / '_base_' / 'datasets' / f'{name}.py')
    from mmseg.registry import DATASETS

    with DefaultScope.overwrite_default_scope('mmseg'):
        for step in cfg.train_dataloader.dataset.pipeline:
            if step.type == 'RandomResize':
                step.update(scale=(4104, 100), ratio_range=(1.0, 1.0))
        train = DATASETS.build(cfg.train_dataloader.dataset)
        val = DATASETS.build(cfg.val_dataloader.dataset)
    assert len(train) == len(val) == 2
    assert train.metainfo['classes'] == val.metainfo['classes'] and len(val.metainfo['palette']) == 21
    assert train.metainfo['classes'][15] == 'person' and list(train.metainfo['palette'][15]) == [192, 128, 128]
    sample = train[0]
    image, label = sample['inputs'], sample['data_samples'].gt_sem_seg.data
    assert image.shape == (3, 513, 513) and label.shape == (1, 513, 513)
    # 60 x 80 becomes 100 x 133
    assert (image[:, 101:] == 0).all() and (label[:, 101:] == 255).all()
    inside = label[:, 10:100]
    assert (inside < 255).any() and (image[:, 10:100] > 0).any()
    whole = val[0]
    assert whole['inputs'].shape[1] == 513
    assert whole['data_samples'].gt_sem_seg.data.shape[1:] == IMAGE


def test_both_layouts_name_the_same_classes():
    from mmseg.datasets import PascalVOCDataset

    cfg = Config.fromfile(FOLDER / '_base_' / 'datasets' / 'voc2012_folders.py')
    assert cfg.metainfo.classes == PascalVOCDataset.METAINFO['classes']
    assert cfg.metainfo.palette == PascalVOCDataset.METAINFO['palette']


def test_predictions_for_the_server_are_written_as_documented(voc, tmp_path):
    readme = (FOLDER / 'deeplabv3plus/README.md').read_text()
    (tmp_path / 'config.py').write_text(re.findall(r'```python\n(.*?)```', readme, re.S)[-1])
    override = Config.fromfile(tmp_path / 'config.py')
    cfg = reduced('deeplabv3plus/deeplabv3plus_r18_120e_voc2012-513x513.py', tmp_path / 'run')
    cfg.test_dataloader.dataset = override.test_dataloader.dataset
    cfg.test_dataloader.dataset.pipeline[1].scale = (520, 65)
    cfg.test_evaluator = {**override.test_evaluator, 'output_dir': str(tmp_path / 'server')}
    Runner.from_cfg(cfg).test()
    written = sorted((tmp_path / 'server' / 'results' / 'VOC2012' / 'Segmentation' / 'comp6_test_cls').glob('*.png'))
    assert [path.stem for path in written] == ['2007_000000_test', '2007_000001_test']
    image = Image.open(written[0])
    assert (image.mode, image.size) == ('P', IMAGE[::-1])
    assert np.array(image).max() < 21


# ---- distillation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', KD + [name for name in REDUCED if '/voc2012_c16_' in name])
def test_the_students_part_is_that_of_its_plain_config(name):
    cfg = Config.fromfile(FOLDER / name)
    plain = '../projects/reduced_runs/configs/voc2012_c16.py'
    if name in KD:
        student = Path(name).stem.split('_')[1].replace('-', '_')
        plain = f'deeplabv3plus/{student}_120e_voc2012-513x513.py'
    plain = Config.fromfile(FOLDER / plain)
    assert cfg.model.student == plain.model
    for key in set(plain.keys()) - {'model', 'custom_hooks'}:
        assert cfg[key] == plain[key], key


def recorded(model, argument):
    """What the losses read for ``preds_S`` (before the connectors) or ``preds_T``, by name."""
    values = {}
    for name, mapping in model.distiller.loss_forward_mappings.items():
        record = {key: value for key, value in mapping[argument].items() if key != 'connector'}
        value = model.distiller.get_record(**record)
        values[name.removeprefix('loss_')] = value[0] if isinstance(value, list) else value
    return values


@pytest.mark.parametrize('student', ['r18', 'mobilenetv2'])
def test_overhaul_compares_six_maps_before_their_relus(student, voc, tmp_path):
    """Through the ReLU the recorded maps become what the networks go on with, and they have negative values."""
    cfg = reduced(R18_OVERHAUL if student == 'r18' else MOBILENETV2_OVERHAUL, tmp_path)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    for module in [*model.student.modules(), *model.teacher.model.modules()]:
        if isinstance(module, torch.nn.BatchNorm2d):  # an untrained residual block adds nothing
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    model.eval()
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        with model.student_recorders.attached(model.student):
            model.student(images)
        model.run_teacher(images)
        ours, theirs = recorded(model, 'preds_S'), recorded(model, 'preds_T')
        features, targets = model.student.extract_feat(images), model.teacher.model.extract_feat(images)

    assert list(ours) == list(theirs) == ['stage1', 'stage2', 'stage3', 'stage4', 'encoder', 'decoder']
    for name in ours:
        assert (ours[name] < 0).float().mean() > 0.1 and (theirs[name] < 0).float().mean() > 0.01, name
        assert ours[name].shape[2:] == theirs[name].shape[2:], name
    for name, feature, target in zip(list(ours)[:4], features, targets, strict=True):
        torch.testing.assert_close(theirs[name].relu(), target)
        if student == 'r18':
            torch.testing.assert_close(ours[name].relu(), feature)
    channels = [144, 192, 576, 320] if student == 'mobilenetv2' else [8, 16, 32, 64]
    assert [ours[name].shape[1] for name in ours] == [*channels, 16, 16]


def test_connectors_begin_as_the_authors_do(voc, tmp_path):
    cfg = reduced(R18_OVERHAUL, tmp_path)
    cfg.model.student.decode_head.channels = 64
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.distiller.init_weights()
    for name, connector in model.distiller.connectors.items():
        (level,) = connector.levels
        outputs = level.conv.out_channels
        assert level.conv.bias is None and level.conv.kernel_size == (1, 1), name
        assert level.conv.weight.std().item() == pytest.approx((2 / outputs) ** 0.5, rel=0.15)
        assert isinstance(level.norm, torch.nn.BatchNorm2d)
