"""The configs of structured knowledge distillation through the runner, at a reduced size, and what they say."""

from pathlib import Path

import pytest
import torch
from helpers.config_runs import go_on, reduce_networks
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from test_segmentation_configs import SIZE, roots, shrink_network, shrink_run  # noqa: F401

from mmkd.distillation.losses import pixel_wise_loss
from mmkd.distillation.losses.pair_wise import _pool_nodes
from mmkd.engine import DistillOptimWrapper
from mmkd.registry import MODELS

KD = 'configs/kd/structured_kd'
NAMES = [name for name in shipped_configs(KD) if '/pspnet-r101_' in name and 'unlabelled' not in name]
REDUCED = [f'projects/reduced_runs/configs/camvid_espnet_{row}.py' for row in ('pi', 'pi-pa', 'pi-pa-ho')]
CITYSCAPES = f'{KD}/pspnet-r101_pspnet-r18_40k_cityscapes_pi-pa-ho.py'
ESPNET_C = f'{KD}/pspnet-r101_espnet-c_40k_camvid_pi-pa.py'


def reduced(name, work_dir):
    cfg = Config.fromfile(ROOT / name)
    shrink_run(cfg, work_dir)
    reduce_networks(cfg, SIZE, shrink_network)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES + REDUCED)
def test_config_trains_evaluates_and_resumes(name, roots):  # noqa: F811
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    runner.train()
    logged = {key.removeprefix('train/') for key in runner.message_hub.log_scalars if key.startswith('train/')}
    expected = {f'distill.loss_{row}' for row in name.removesuffix('.py').split('_')[-1].split('-')[:2]}
    if 'ho' in name:
        expected |= {'distill.loss_holistic', 'discriminator.loss_adversarial', 'discriminator.loss_gp'}
        expected |= {'discriminator.gap', 'discriminator.lr', 'lr'}
    assert expected <= logged
    assert 0 <= runner.message_hub.log_scalars['val/mIoU'].current() <= 100

    resumed = go_on(runner, reduced(name, roots / 'run'))
    assert isinstance(resumed.optim_wrapper, DistillOptimWrapper) == ('ho' in name)
    assert (roots / 'run' / 'iter_3_student.pth').is_file()


@pytest.mark.parametrize('name', NAMES)
def test_the_students_part_is_that_of_its_plain_config(name):
    cfg = Config.fromfile(ROOT / name)
    _, student, _, data, _ = Path(name).stem.split('_')
    folder, size = student.split('-')[0], dict(camvid='480x360', cityscapes='512x512')[data]
    student = student if folder == 'espnet' else student.replace('-', '_')
    plain = Config.fromfile(ROOT / f'configs/{folder}/{student}_40k_{data}-{size}.py')
    assert cfg.model.student == plain.model
    wrapper = {key: value for key, value in cfg.optim_wrapper.items() if key not in ('constructor', 'discriminator')}
    assert wrapper == plain.optim_wrapper
    for key in (
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'param_scheduler',
        'train_cfg',
        'default_hooks',
    ):
        assert cfg[key] == plain[key]


@pytest.mark.parametrize('name', [name for name in NAMES if name.endswith('-ho.py')])
def test_the_discriminator_and_its_optimizer_are_those_of_the_run_script(name):
    cfg = Config.fromfile(ROOT / name)
    assert cfg.model.holistic.mode == 'wgan-gp'
    assert cfg.optim_wrapper.discriminator.optimizer == dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper.discriminator.clip_grad == dict(max_norm=1.0)


def test_the_pixel_wise_weight_is_the_released_codes_at_its_batch_of_8():
    student, teacher = torch.randn(8, 19, 5, 5, requires_grad=True), torch.randn(8, 19, 5, 5)
    ours = 80 * pixel_wise_loss(student, teacher)
    released = 10 * pixel_wise_loss(student, teacher, mode='ce', reduction='batch_sum')
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (ours, released)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    'name, size, logits, nodes',
    [
        (CITYSCAPES, (512, 512), (65, 65), 9),
        (ESPNET_C, (360, 480), (45, 60), 23 * 30),
    ],
)
def test_maps_and_nodes_at_the_size_of_training(name, size, logits, nodes):
    cfg = Config.fromfile(ROOT / name)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        student = MODELS.build(cfg.model.student).eval()
        pa = MODELS.build(cfg.model.distill.pa.loss)
    taps = cfg.model.distill.pa.taps
    found = {}
    for name_, key in ((taps if isinstance(taps, str) else taps['student'], 'pa'), (cfg.model.distill.pi.taps, 'pi')):
        student.get_submodule(name_).register_forward_hook(lambda m, i, out, key=key: found.update({key: out}))
    student(torch.zeros(1, 3, *size, device='meta'))
    assert tuple(found['pi'].shape[2:]) == logits
    pooled = _pool_nodes(
        torch.zeros(found['pa'].shape), *(pa.options[k] for k in ('pool', 'scale', 'node_size', 'nodes'))
    )
    assert pooled.shape[2] * pooled.shape[3] == nodes
