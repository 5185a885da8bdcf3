"""Training runs of the toy networks through mmengine's Runner."""

import os
import uuid

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import DATASETS, METRICS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

import mmkd.distillation.algorithms  # noqa: F401  registers DenseDistill
import mmkd.engine  # noqa: F401
from helpers.distillation_toys import toy, two_losses


@DATASETS.register_module()
class ToyImages(Dataset):
    """Six images of noise."""

    METAINFO = dict(classes=('a', 'b', 'c'), palette=[(1, 2, 3)] * 3)
    metainfo = METAINFO

    def __len__(self):
        return 6

    def __getitem__(self, index):
        image = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index))
        return dict(inputs=image, data_samples=BaseDataElement(metainfo=dict(img_shape=(32, 32))))


@METRICS.register_module()
class ToyScore(BaseMetric):
    """The mean of the predictions, which identifies the weights that made them."""

    def process(self, data_batch, data_samples):
        self.results += [float(sample) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(acc=sum(results) / len(results))


@pytest.fixture
def teacher(tmp_path, monkeypatch):
    """A trained teacher, in the folder that the test then runs in.

    Relative paths, since mmengine formats the config of a run several times, and long strings take seconds each time.
    """
    monkeypatch.chdir(tmp_path)
    return save_teacher()


def save_teacher(folder='.', **options):
    """A trained teacher: its model config, with the checkpoint."""
    from mmkd.distillation.teacher.network import build_network

    config = toy(channels=8, out_channels=10, data_preprocessor=dict(type='ImgDataPreprocessor'), **options)
    torch.manual_seed(7)
    path = os.path.join(folder, 'teacher.pth')
    torch.save(dict(state_dict=build_network(config).state_dict()), path)
    return dict(config, ckpt=path)


def run_config(work_dir, teacher, epochs=2, **options):
    """A config of a run; ``options`` are merged into it."""
    loader = dict(
        batch_size=2, num_workers=0, dataset=dict(type='ToyImages'), sampler=dict(type='DefaultSampler', shuffle=True)
    )
    config = dict(
        default_scope='mmengine',
        model=dict(
            type='mmkd.DenseDistill',
            student=toy(dropout=0.1, data_preprocessor=dict(type='ImgDataPreprocessor')),
            teacher=teacher,
            distill=two_losses(),
            dry_run=dict(size=(32, 32)),
        ),
        train_dataloader=loader,
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_evaluator=dict(type='ToyScore'),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1),
            logger=dict(type='LoggerHook', interval=1),
            student_checkpoint=dict(type='mmkd.StudentCheckpointHook'),
        ),
        randomness=dict(seed=3),
        work_dir=work_dir,
        experiment_name=uuid.uuid4().hex,
        log_level='WARNING',
    )
    config = Config(config)
    config.merge_from_dict(options)
    return config


def train(config):
    """Trains, and returns the runner."""
    runner = Runner.from_cfg(config)
    runner.train()
    return runner


def scalars(runner, name):
    """All values of a logged number."""
    return list(runner.message_hub.get_scalar(name)._log_history)
