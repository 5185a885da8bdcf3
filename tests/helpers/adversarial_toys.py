"""A segmentation network and a discriminator of a few hundred parameters, and adversarial distillation between them."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper
from torch import nn

import mmkd.engine  # noqa: F401
from mmkd.distillation.algorithms import AdversarialDistill
from mmkd.registry import MODELS

DISCRIMINATOR_SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4)


@MODELS.register_module()
class ToySegmentor(BaseModel):
    """Logits at half of the image's size, of one class out of several. Counts its forwards."""

    loss_decode = SimpleNamespace(use_sigmoid=False)  # where mmseg's heads say so

    def __init__(self, channels=4, num_classes=3, stride=2, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor or dict(type='ImgDataPreprocessor'), init_cfg)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        self.forwards = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.forwards += 1
        logits = self.conv_seg(self.backbone(inputs))
        if mode == 'loss':
            label = torch.zeros(logits[:, 0].shape, dtype=torch.long, device=logits.device)
            return dict(loss_ce=F.cross_entropy(logits, label))
        return logits if mode == 'tensor' else [image.mean() for image in logits]


@MODELS.register_module()
class LinearDiscriminator(nn.Module):
    """D(x) = w . mean(x) + b, of which everything can be worked out by hand. No state besides."""

    def __init__(self, in_channels=3):
        super().__init__()
        self.linear = nn.Linear(in_channels, 1)

    def forward(self, maps):
        return self.linear(maps.mean(dim=(2, 3))).flatten()


def small_discriminator(**options):
    return dict(dict(type='HolisticDiscriminator', base_channels=8), **options)


def adversarial(holistic=None, **options):
    """The config of an algorithm; ``holistic`` changes the defaults of that key."""
    defaults = dict(discriminator=small_discriminator(), taps='conv_seg')
    options = dict(
        dict(
            student=dict(type='mmkd.ToySegmentor'),
            teacher=dict(type='mmkd.ToySegmentor', channels=8, allow_random=True),
            distill=dict(pi=dict(taps='conv_seg', loss=dict(type='PixelWiseLoss'))),
            dry_run=dict(size=(32, 32)),
        ),
        **options,
    )
    return dict(options, type='mmkd.AdversarialDistill', holistic=dict(defaults, **(holistic or {})))


def build(holistic=None, seed=0, **options):
    """A built algorithm, in train mode."""
    torch.manual_seed(seed)
    config = adversarial(holistic, **options)
    config.pop('type')
    algorithm = AdversarialDistill(**config)
    algorithm.prepare()
    return algorithm.train()


def optimizers(algorithm, of_discriminator=None, **student):
    """The optimizer wrapper of both, built as a run builds it."""
    config = dict(
        dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
        constructor='mmkd.DistillOptimWrapperConstructor',
        discriminator=dict(dict(optimizer=DISCRIMINATOR_SGD), **(of_discriminator or {})),
    )
    return build_optim_wrapper(algorithm, dict(config, **student))


def images(number=2, seed=0, size=32):
    """A batch as a data loader gives it."""
    generator = torch.Generator().manual_seed(seed)
    return dict(inputs=[torch.randn(3, size, size, generator=generator) for _ in range(number)], data_samples=None)


def state(module):
    """A copy of everything a checkpoint would hold of it."""
    return {name: value.clone() for name, value in module.state_dict().items()}
