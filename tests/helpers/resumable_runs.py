"""A tiny training with everything that has a state: student, connectors, discriminator, averaged weights, schedules."""

import random

import numpy as np
import torch
from mmengine.registry import DATASETS

from helpers.adversarial_toys import DISCRIMINATOR_SGD, adversarial, small_discriminator
from helpers.distillation_runs import ToyImages, run_config
from mmkd.utils.checkpoint import load_checkpoint_file

FEATURES = dict(taps='backbone', connector='conv1x1', loss=dict(type='FeatureMSELoss'))


@DATASETS.register_module()
class NoisyImages(ToyImages):
    """Ten images, with noise from each of the generators that a pipeline may use."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        noisy = sample['inputs'] * random.uniform(0.5, 2) + torch.rand(3, 1, 1) + float(np.random.rand())
        return dict(sample, inputs=noisy)


def resumable(work_dir, by_epoch=False, workers=0, length=8, **options):
    """The config of a run that saves after every iteration or epoch, and keeps one checkpoint."""
    model = adversarial(
        dict(discriminator=small_discriminator(base_channels=4, preprocess=None)),
        distill=dict(pi=dict(taps='conv_seg', loss=dict(type='PixelWiseLoss')), features=FEATURES),
    )
    loader = dict(num_workers=workers, dataset=dict(type='NoisyImages'), persistent_workers=workers > 0)
    schedulers = [dict(type='LinearLR', start_factor=0.1, by_epoch=by_epoch, end=length - 1)]
    length = dict(max_epochs=length) if by_epoch else dict(max_iters=length)
    if not by_epoch:
        loader['sampler'] = dict(type='InfiniteSampler')
    return run_config(
        str(work_dir),
        {},
        model=dict(_delete_=True, **model),
        train_cfg=dict(_delete_=True, by_epoch=by_epoch, val_interval=3, **length),
        train_dataloader=loader,
        optim_wrapper=dict(
            constructor='mmkd.DistillOptimWrapperConstructor', discriminator=dict(optimizer=DISCRIMINATOR_SGD)
        ),
        param_scheduler=schedulers,
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=by_epoch, max_keep_ckpts=1)),
        custom_hooks=[dict(type='EMAHook', momentum=0.1)],
        **options,
    )


def state_of(path):
    """All that is in a checkpoint and has to come out the same, by dotted names."""
    checkpoint = load_checkpoint_file(path)
    keys = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    assert set(keys) <= set(checkpoint)
    return dict(_leaves({key: checkpoint[key] for key in keys}, ''))


def _leaves(node, name):
    if isinstance(node, (dict, list, tuple)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _leaves(value, f'{name}.{key}')
    elif not name.endswith('_get_lr_called_within_step'):
        yield name, node


def differences(one, other):
    """The names of what is not equal to the last bit."""
    names = [name for name in one.keys() | other.keys() if name not in one or name not in other]
    for name in one.keys() & other.keys():
        same = torch.equal(one[name], other[name]) if isinstance(one[name], torch.Tensor) else one[name] == other[name]
        names += [] if same else [name]
    return sorted(names)
