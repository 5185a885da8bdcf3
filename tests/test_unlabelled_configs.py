"""The configs with unlabelled images through the runner, at a reduced size."""

import pytest
import torch
from helpers.config_runs import go_on, reduce_networks
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.runner import Runner
from test_segmentation_configs import SIZE, roots, shrink_network, shrink_run  # noqa: F401

NAMES = [name for name in shipped_configs() if name.endswith('_unlabelled.py')]


def reduced(name, work_dir):
    cfg = Config.fromfile(ROOT / name)
    both = cfg.train_dataloader.dataset
    for dataset in (both.datasets[0], both.datasets[1].dataset):
        cfg.train_dataloader.dataset = dataset
        shrink_run(cfg, work_dir)
    cfg.train_dataloader.dataset = both
    cfg.train_dataloader.batch_size = cfg.train_dataloader.sampler.batch_size = 4
    reduce_networks(cfg, SIZE, shrink_network)
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

    resumed = go_on(runner, reduced(name, roots / 'run'))
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
