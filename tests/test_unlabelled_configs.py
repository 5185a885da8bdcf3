"""The configs with unlabelled images through the runner, at a reduced size."""

import pytest
import torch
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.runner import Runner
from test_segmentation_configs import SIZE, roots, shrink_network, shrink_run  # noqa: F401
from test_structured_kd_configs import equal

from mmkd.utils.model_config import resolve_network

NAMES = [name for name in shipped_configs() if name.endswith('_unlabelled.py')]


def reduced(name, work_dir):
    cfg = Config.fromfile(ROOT / name)
    cfg.work_dir = str(work_dir)
    both = cfg.train_dataloader.dataset
    for dataset in (both.datasets[0], both.datasets[1].dataset):
        cfg.train_dataloader.dataset = dataset
        shrink_run(cfg)
    cfg.train_dataloader.dataset = both
    cfg.train_dataloader.batch_size = cfg.train_dataloader.sampler.batch_size = 4
    shrink_network(cfg.model.student)
    teacher = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    shrink_network(teacher)
    cfg.model.teacher = dict(teacher, ckpt=None, allow_random=True)
    cfg.model.dry_run = dict(size=SIZE)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_config_trains_evaluates_and_resumes(name, roots):  # noqa: F811
    runner = Runner.from_cfg(reduced(name, roots / 'run'))
    batches = []
    runner.model.register_forward_pre_hook(lambda _, args, kwargs: batches.append((args, kwargs)), with_kwargs=True)
    runner.train()
    args, kwargs = batches[0]
    samples = kwargs.get('data_samples') or args[1]
    marks = [sample.get('unlabelled', False) for sample in samples]
    assert sum(marks) == 2 and len(marks) == 4
    assert all(('gt_sem_seg' in sample) != mark for sample, mark in zip(samples, marks, strict=True))
    paths = [sample.img_path for sample, mark in zip(samples, marks, strict=True) if mark]
    assert all('/images/val/' in path for path in paths)
    logged = {key.removeprefix('train/') for key in runner.message_hub.log_scalars if key.startswith('train/')}
    assert {'student.decode.loss_ce', 'distill.loss_pi', 'distill.loss_pa'} <= logged

    cfg = reduced(name, roots / 'run')
    cfg.resume = True
    cfg.train_cfg.max_iters = 3
    resumed = Runner.from_cfg(cfg)
    resumed.load_or_resume()
    assert resumed.iter == 2
    assert equal(resumed.model.state_dict(), runner.model.state_dict())
    resumed.train()
    assert resumed.iter == 3
    assert all(torch.isfinite(value).all() for value in resumed.model.state_dict().values())
    assert (roots / 'run' / 'iter_3_student.pth').is_file()


@pytest.mark.parametrize('name', NAMES)
def test_all_but_the_data_is_as_without_unlabelled_images(name):
    cfg, plain = Config.fromfile(ROOT / name), Config.fromfile(ROOT / name.replace('_unlabelled', ''))
    assert cfg.model == plain.model and cfg.optim_wrapper == plain.optim_wrapper
    loader, plain_loader = cfg.train_dataloader, plain.train_dataloader
    labelled, unlabelled = loader.dataset.datasets
    assert labelled == plain_loader.dataset
    assert loader.batch_size == loader.sampler.batch_size == 2 * plain_loader.batch_size  # as many labelled ones
    assert loader.sampler.source_ratio == [1, 1]
    assert [step.type for step in unlabelled.dataset.pipeline] == [
        step.type for step in labelled.pipeline if step.type != 'LoadAnnotations'
    ]
    folders = [data.data_prefix.img_path for data in (unlabelled.dataset, cfg.test_dataloader.dataset)]
    assert folders == ['images/val', 'images/test']  # what is reported is not seen in training
