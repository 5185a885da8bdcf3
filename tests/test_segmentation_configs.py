"""The segmentation configs through the runner: data, training, evaluation and resuming, at a reduced size."""

import re

import numpy as np
import pytest
import torch
from helpers.config_runs import go_on, pipeline_steps, short_run, write_image
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.registry import MODELS

FOLDER = ROOT / 'configs'
NAMES = [name.removeprefix('configs/') for name in shipped_configs('configs/espnet', 'configs/pspnet')]
REDUCED = ['../projects/reduced_runs/configs/camvid_espnet.py']
QUICK = ('espnet/espnet-c_40k_camvid-480x360.py', 'pspnet/pspnet_r18_40k_cityscapes-512x512.py')
SIZE = (48, 64)  # height, width of crops
IMAGE = (50, 66)  # no multiple of 8


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """Two images a split of both data sets, where the environment variables of the configs point."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for i in range(2):
            image = rng.integers(0, 256, (*IMAGE, 3), np.uint8)
            label = rng.integers(0, 11, IMAGE, np.uint8)
            label[:5] = 255
            write_image(tmp_path / f'camvid/images/{split}/{i}.jpg', image)
            write_image(tmp_path / f'camvid/annotations/{split}/{i}.png', label)
            write_image(tmp_path / f'cityscapes/leftImg8bit/{split}/aachen/{i}_leftImg8bit.png', image)
            write_image(tmp_path / f'cityscapes/gtFine/{split}/aachen/{i}_gtFine_labelTrainIds.png', label)
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    return tmp_path


def reduced(name, work_dir):
    """The config with crops of 48 x 64, narrow ResNets, two iterations and one process."""
    cfg = Config.fromfile(FOLDER / name)
    shrink_network(cfg.model)
    shrink_run(cfg, work_dir)
    return cfg


def shrink_run(cfg, work_dir):
    """Crops of 48 x 64, two iterations, one process."""
    short_run(cfg, work_dir)
    for step in pipeline_steps(cfg):
        if step.type == 'RandomChoiceResize':
            step.scales = [(32, 24), (96, 72)]
        elif step.type == 'RandomCrop':
            step.crop_size = SIZE
        elif step.type == 'Resize':
            step.scale = SIZE[::-1]


def shrink_network(network):
    """Random weights, and narrow ResNets."""
    network.data_preprocessor.size = SIZE
    backbone = network.backbone
    if 'init_cfg' in backbone:
        backbone.init_cfg = None
    if 'depth' in backbone:
        expansion = 4 if backbone.depth > 34 else 1
        backbone.update(base_channels=4, stem_channels=8)
        network.decode_head.update(in_channels=32 * expansion, channels=8)
        network.auxiliary_head.update(in_channels=16 * expansion, channels=8)


@pytest.mark.parametrize(
    'name', [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES + REDUCED]
)
def test_config_trains_evaluates_and_resumes(name, roots):
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    runner.train()
    assert runner.iter == 2
    scalars = runner.message_hub.log_scalars
    assert 0 <= scalars['val/mIoU'].current() <= 100
    losses = ['train/decode.loss_ce'] + ['train/aux.loss_ce'] * ('auxiliary_head' in runner.cfg.model)
    for key in losses:
        assert 0 < scalars[key].current() < 20

    metrics = go_on(runner, reduced(name, roots / 'run')).test()
    assert metrics.keys() >= {'mIoU', 'mAcc', 'aAcc'}


@pytest.mark.parametrize('name', NAMES)
def test_schedule_and_batch_are_those_of_structured_knowledge_distillation(name):
    cfg = Config.fromfile(FOLDER / name)
    assert cfg.train_cfg.max_iters == 40000
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 8
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.power, schedule.end, schedule.by_epoch) == ('PolyLR', 0.9, 40000, False)
    assert cfg.model.data_preprocessor['size'] == cfg.crop_size
    heads = [cfg.model.decode_head, cfg.model.get('auxiliary_head')]
    for head, weight in zip(heads, (1.0, 0.4), strict=True):
        if head is not None:
            assert head.align_corners is True
            # the mean over pixels with a label, as PyTorch's own loss; mmseg's default counts the others too
            assert head.loss_decode.avg_non_ignore is True
            assert head.loss_decode.loss_weight == weight


@pytest.mark.parametrize(
    'name, millions',
    [('pspnet/pspnet_r101_40k_cityscapes-512x512.py', 70.43), ('pspnet/pspnet_r18_40k_cityscapes-512x512.py', 13.07)],
)
def test_parameters_are_those_of_the_published_networks(name, millions):
    """As given by Wang et al. (ECCV 2020), who used the same teacher and student."""
    cfg = Config.fromfile(FOLDER / name)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    'name, size, logits',
    [
        ('pspnet/pspnet_r18_40k_cityscapes-512x512.py', (512, 512), (19, 65, 65)),
        ('pspnet/pspnet_r101_40k_cityscapes-512x512.py', (512, 512), (19, 65, 65)),
        ('pspnet/pspnet_mobilenetv2_40k_cityscapes-512x512.py', (512, 512), (19, 64, 64)),
        # one size for teachers and students, so that their maps can be compared without resizing
        ('pspnet/pspnet_r101_40k_camvid-480x360.py', (360, 480), (11, 45, 60)),
        ('pspnet/pspnet_r18_40k_camvid-480x360.py', (360, 480), (11, 45, 60)),
        ('pspnet/pspnet_mobilenetv2_40k_camvid-480x360.py', (360, 480), (11, 45, 60)),
        ('espnet/espnet-c_40k_camvid-480x360.py', (360, 480), (11, 45, 60)),
        ('espnet/espnet_40k_camvid-480x360.py', (360, 480), (11, 360, 480)),
    ],
)
def test_size_of_the_logits(name, size, logits):
    cfg = Config.fromfile(FOLDER / name)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        model = MODELS.build(cfg.model)
        model.eval()
        out = model(torch.zeros(1, 3, *size))
    assert tuple(out.shape[1:]) == logits


def test_sliding_windows_of_an_image_are_predicted_as_images():
    cfg = Config.fromfile(FOLDER / 'espnet/espnet_40k_camvid-480x360.py')
    cfg.model.test_cfg = dict(mode='slide', crop_size=(48, 48), stride=(48, 48))
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model).eval()
    image = torch.randn(1, 3, 48, 96)
    metas = [dict(img_shape=(48, 96), ori_shape=(48, 96), pad_shape=(48, 96), padding_size=[0] * 4)]
    with torch.no_grad():
        windows = model.inference(image, metas)
        halves = torch.cat(
            [model.encode_decode(image[..., :48], metas), model.encode_decode(image[..., 48:], metas)], 3
        )
    assert windows.shape == (1, 11, 48, 96)
    torch.testing.assert_close(windows, halves)


def test_predictions_for_the_test_server_are_written_as_documented(roots):
    pytest.importorskip('cityscapesscripts')
    readme = (FOLDER / 'pspnet' / 'README.md').read_text()
    (roots / 'config.py').write_text(re.search(r'```python\n(.*?)```', readme, re.S)[1])
    override = Config.fromfile(roots / 'config.py')
    cfg = reduced('pspnet/pspnet_r18_40k_cityscapes-512x512.py', roots / 'run')
    cfg.test_dataloader.dataset = override.test_dataloader.dataset
    cfg.test_evaluator = {**override.test_evaluator, 'output_dir': str(roots / 'submission')}
    Runner.from_cfg(cfg).test()
    written = sorted((roots / 'submission').glob('*.png'))
    assert [path.name for path in written] == ['0_leftImg8bit.png', '1_leftImg8bit.png']
    ids = np.array(Image.open(written[0]))
    assert ids.shape == IMAGE
    assert set(np.unique(ids)) <= {7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33}
