"""The configs of monocular depth through the runner, at a reduced size, and what they say."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers.config_runs import go_on, pipeline_steps, reduce_networks, short_run, write_image
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.registry import MODELS

FOLDER = ROOT / 'configs'
PLAIN = [name.removeprefix('configs/') for name in shipped_configs('configs/vnl')]
KD = ['kd/structured_kd/vnl-x101_vnl-mobilenetv2_60k_nyu_pa-ho.py']
REDUCED = [
    f'../projects/reduced_runs/configs/sevenscenes_{name}.py' for name in ('whole', 'half', 'half_pa', 'half_pa-ho')
]
QUICK = ('../projects/reduced_runs/configs/sevenscenes_half_pa-ho.py',)
STUDENT, TEACHER = 'vnl/vnl_mobilenetv2_60k_nyu-385x385.py', 'vnl/vnl_x101_60k_nyu-385x385.py'
IMAGE, SIZE = (48, 64), (33, 41)  # height, width


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two frames a split of both data sets, where the environment variables of the configs point."""
    rng = np.random.default_rng(0)
    for data, depths in (('nyu', 'annotations'), ('sevenscenes', 'depth')):
        for split in ('train', 'val', 'test'):
            for i in range(2):
                depth = rng.integers(500, 6000, IMAGE).astype(np.uint16)
                depth[:5] = 0
                write_image(
                    tmp_path / f'{data}/images/{split}/room_000{i}.jpg', rng.integers(0, 256, (*IMAGE, 3), np.uint8)
                )
                write_image(tmp_path / f'{data}/{depths}/{split}/room_000{i}.png', depth)
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return tmp_path


def reduced(name, work_dir):
    """The config with crops of 33 x 41, narrow networks, two iterations and one process."""
    cfg = Config.fromfile(FOLDER / name)
    short_run(cfg, work_dir)
    for part in ('train', 'val', 'test'):  # of a picture as small as these
        cfg[f'{part}_dataloader'].dataset.intrinsics = (60.0, 60.0, 32.0, 24.0)
    for step in pipeline_steps(cfg):
        if step.type == 'mmkd.CameraRandomCrop':
            step.crop_size = SIZE
        elif step.type == 'mmkd.CameraResize':
            step.scale = IMAGE[::-1]
    cfg.val_evaluator.crop_type = cfg.test_evaluator.crop_type = None
    reduce_networks(cfg, SIZE, shrink)
    return cfg


def shrink(network):
    network.data_preprocessor.size = SIZE
    network.backbone.init_cfg = None
    if network.backbone.type == 'ResNeXt':
        network.backbone.update(depth=50, groups=1, base_width=4, base_channels=4)
        network.decode_head.in_channels = [16, 32, 64, 128]
    else:
        network.backbone.widen_factor = 0.25
        network.decode_head.in_channels = [8, 8, 24, 80]
    network.decode_head.channels = 8
    network.decode_head.bins.number = 8
    network.decode_head.loss_normal.update(num_triples=50, min_distance=0.1)


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in PLAIN + KD + REDUCED]
)
def test_config_trains_evaluates_and_resumes(name, roots):
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    runner.train()
    scalars = runner.message_hub.log_scalars
    distilled = 'student' in runner.cfg.model
    prefix = 'train/student.' if distilled else 'train/'
    for loss in ('loss_bins', 'loss_vn'):
        assert 0 < scalars[f'{prefix}decode.{loss}'].current() < 50
    rows = name.removesuffix('.py').split('_')[-1].split('-') if distilled else []
    expected = {'pa': 'train/distill.loss_pa', 'ho': 'train/distill.loss_holistic'}
    assert {expected[row] for row in rows} <= set(scalars)
    assert 0 < scalars['val/abs_rel'].current() < 20
    assert {f'val/{key}' for key in ('rmse', 'log10', 'd1', 'd2', 'd3')} <= set(scalars)

    go_on(runner, reduced(name, roots / 'run'))
    assert (roots / 'run' / 'iter_3_student.pth').is_file() == bool(rows)
    assert list((roots / 'run').glob('best_abs_rel_iter_*.pth'))


def build(name):
    config = deepcopy(Config.fromfile(FOLDER / name).model)
    config.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        return MODELS.build(config).eval()


@pytest.mark.parametrize('name', [STUDENT, TEACHER])
def test_logits_are_those_of_150_bins_at_a_quarter_of_the_size(name):
    logits = build(name)(torch.zeros(1, 3, 385, 385, device='meta'))
    assert tuple(logits.shape) == (1, 150, 97, 97)


@pytest.mark.parametrize('name', KD)
def test_the_students_part_is_that_of_its_plain_config(name):
    cfg, plain = Config.fromfile(FOLDER / name), Config.fromfile(FOLDER / STUDENT)
    assert cfg.model.student == plain.model
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ('constructor', 'discriminator')}
    assert wrapper == plain.optim_wrapper
    for key in ('train_dataloader', 'val_dataloader', 'param_scheduler', 'train_cfg', 'default_hooks'):
        assert cfg[key] == plain[key]
    assert set(cfg.model.distill) == {'pa'}  # pixel-wise distillation does not help depth


def test_depth_without_a_camera_is_refused_by_name():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    config = deepcopy(Config.fromfile(FOLDER / STUDENT).model.decode_head)
    config.update(in_channels=[4, 4], in_index=(0, 1), channels=4)
    with DefaultScope.overwrite_default_scope('mmseg'):
        head, other = MODELS.build(deepcopy(config)), MODELS.build(dict(config, intrinsics=(9.0, 9.0, 7.5, 7.5)))
    sample = SegDataSample(gt_depth_map=PixelData(data=torch.full((1, 16, 16), 2.0)))
    levels = (torch.randn(1, 4, 8, 8), torch.randn(1, 4, 4, 4))
    head.eval()
    with pytest.raises(ValueError, match='decode_head.intrinsics: fx, fy, cx, cy were expected'):
        head.loss(levels, [sample], None)
    assert set(other.eval().loss(levels, [sample], None)) == {'loss_bins', 'loss_vn'}
