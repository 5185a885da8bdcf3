"""The configs of structured knowledge distillation through the runner, at a reduced size, and what they say."""

from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from test_segmentation_configs import FOLDER, SIZE, roots, shrink_network, shrink_run  # noqa: F401

from mmkd.distillation.losses import pixel_wise_loss
from mmkd.distillation.losses.pair_wise import _pool_nodes
from mmkd.engine import DistillOptimWrapper
from mmkd.registry import MODELS
from mmkd.utils.model_config import resolve_network

ROWS = ('pi', 'pi-pa', 'pi-pa-ho', 'pi-pa-ho-conditional')
STUDENTS = ('espnet', 'pspnet')
NAMES = sorted(
    path.name for path in FOLDER.glob('kd/*.py') if path.stem.split('_')[-1] in ROWS and path.name.startswith(STUDENTS)
)
REDUCED = sorted(path.name for path in FOLDER.glob('_quick_/*_from_*_camvid_*.py') if path.stem.endswith(ROWS))
EIGHTY = ('pspnet_r18', 'pspnet_mobilenetv2')  # with the weights of the released code; the others with the paper's


def reduced(name, work_dir):
    cfg = Config.fromfile(FOLDER / ('_quick_' if name in REDUCED else 'kd') / name)
    cfg.work_dir = str(work_dir)
    shrink_run(cfg)
    shrink_network(cfg.model.student)
    teacher = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    shrink_network(teacher)
    cfg.model.teacher = ConfigDict(**teacher, ckpt=None, allow_random=True)
    cfg.model.dry_run = dict(size=SIZE)
    if 'holistic' in cfg.model:
        cfg.model.holistic.discriminator.base_channels = 8
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

    cfg = reduced(name, roots / 'run')
    cfg.resume = True
    cfg.train_cfg.max_iters = 3
    resumed = Runner.from_cfg(cfg)
    resumed.optim_wrapper = resumed.build_optim_wrapper(resumed.optim_wrapper)
    resumed.load_or_resume()
    assert resumed.iter == 2
    assert equal(resumed.model.state_dict(), runner.model.state_dict())
    assert equal(resumed.optim_wrapper.state_dict(), runner.optim_wrapper.state_dict())
    assert isinstance(resumed.optim_wrapper, DistillOptimWrapper) == ('ho' in name)
    resumed.train()
    assert resumed.iter == 3
    assert (roots / 'run' / 'iter_3_student.pth').is_file()


def equal(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize('name', NAMES)
def test_the_students_part_is_that_of_its_plain_config(name):
    cfg = Config.fromfile(FOLDER / 'kd' / name)
    student, data = name.split('_from_')[0], 'camvid-480x360' if 'camvid' in name else 'cityscapes-512x512'
    base = FOLDER / ('espnet' if student.startswith('espnet') else 'pspnet') / f'{student}_40k_{data}.py'
    plain = Config.fromfile(base)
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


@pytest.mark.parametrize('name', NAMES)
def test_weights_are_those_documented(name):
    model = Config.fromfile(FOLDER / 'kd' / name).model
    released = name.startswith(EIGHTY)
    assert model.distill.pi.loss.loss_weight == (80 if released else 10)
    if 'pa' in model.distill:
        assert model.distill.pa.loss.loss_weight == (0.5 if released else 10)
    if 'holistic' in model:
        assert (model.holistic.loss_weight, model.holistic.gradient_penalty) == (0.1, 10)
        assert model.holistic.mode == 'wgan-gp'
        discriminator = Config.fromfile(FOLDER / 'kd' / name).optim_wrapper.discriminator
        assert discriminator.optimizer == dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4)
        assert discriminator.clip_grad == dict(max_norm=1.0)


def test_the_pixel_wise_weight_is_the_released_codes_at_its_batch_of_8():
    student, teacher = torch.randn(8, 19, 5, 5, requires_grad=True), torch.randn(8, 19, 5, 5)
    ours = 80 * pixel_wise_loss(student, teacher)
    released = 10 * pixel_wise_loss(student, teacher, mode='ce', reduction='batch_sum')
    gradients = [torch.autograd.grad(loss, student)[0] for loss in (ours, released)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    'name, size, logits, nodes',
    [
        ('pspnet_r18_from_r101_cityscapes_pi-pa-ho.py', (512, 512), (65, 65), 9),
        ('espnet-c_from_pspnet-r101_camvid_pi-pa-ho.py', (360, 480), (45, 60), 23 * 30),
    ],
)
def test_maps_and_nodes_at_the_size_of_training(name, size, logits, nodes):
    cfg = Config.fromfile(FOLDER / 'kd' / name)
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        student = MODELS.build(cfg.model.student).eval()
        pa = MODELS.build(cfg.model.distill.pa.loss)
    taps = cfg.model.distill.pa.taps
    found = {}
    for name_, key in ((taps if isinstance(taps, str) else taps['student'], 'pa'), (cfg.model.holistic.taps, 'ho')):
        student.get_submodule(name_).register_forward_hook(lambda m, i, out, key=key: found.update({key: out}))
    student(torch.zeros(1, 3, *size, device='meta'))
    assert tuple(found['ho'].shape[2:]) == logits
    pooled = _pool_nodes(
        torch.zeros(found['pa'].shape), *(pa.options[k] for k in ('pool', 'scale', 'node_size', 'nodes'))
    )
    assert pooled.shape[2] * pooled.shape[3] == nodes


def test_metafile_lists_every_config_once():
    models = yaml.safe_load((FOLDER / 'kd' / 'metafile.yml').read_text())['Models']
    listed = sorted(Path(model['Config']).name for model in models)
    assert [name for name in listed if name in NAMES] == NAMES
    assert all(Path(model['Config']).stem == model['Name'] for model in models)
