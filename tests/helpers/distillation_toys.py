"""Networks of a few hundred parameters with everything about them that distillation can get wrong."""

from types import SimpleNamespace

import torch
from mmengine.model import BaseModel, BaseModule
from torch import nn

from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

IMAGENET_RGB = dict(type='ImgDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
IMAGENET_RGB['bgr_to_rgb'] = True
CAFFE_BGR = dict(type='ImgDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])


class ToyBackbone(BaseModule):
    """Convolution, batch norm, in-place ReLU, dropout; then a residual sum that is written in place."""

    def __init__(self, channels, dropout=0.5):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout2d(dropout)
        self.residual = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        x = self.dropout(self.relu(self.bn(self.conv(x))))
        out = self.residual(x)
        out += x
        return out


class ToyNeck(BaseModule):
    """Three levels as a tuple."""

    def __init__(self, channels, out_channels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, out_channels, 3, stride=2**i, padding=1) for i in range(3))

    def forward(self, x):
        return tuple(conv(x) for conv in self.convs)


class ToyHead(BaseModule):
    """Class logits by a layer that all levels share. Counts how often its loss is computed."""

    loss_cls = SimpleNamespace(use_sigmoid=False)  # where mmdet's heads say what the logits go through

    def __init__(self, channels, num_classes):
        super().__init__()
        self.conv_cls = nn.Conv2d(channels, num_classes, 1)
        self.losses_computed = 0

    def forward(self, levels):
        return [self.conv_cls(x) for x in levels]

    def loss(self, levels):
        self.losses_computed += 1
        return dict(loss_cls=[x.square().mean() for x in self(levels)])


@MODELS.register_module()
class ToyDetector(BaseModel):
    """A detector in outline. ``after_head`` counts the work done after the head in ``mode='tensor'``."""

    def __init__(self, channels=4, out_channels=6, num_classes=3, dropout=0.5, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = ToyBackbone(channels, dropout)
        self.neck = ToyNeck(channels, out_channels)
        self.bbox_head = ToyHead(out_channels, num_classes)
        self.auxiliary_head = nn.Conv2d(channels, 2, 1)
        self.after_head = 0
        self.seen = None

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.seen = inputs
        x = self.backbone(inputs)
        levels = self.neck(x)
        if mode == 'loss':
            return dict(self.bbox_head.loss(levels), loss_aux=self.auxiliary_head(x).square().mean())
        logits = self.bbox_head.forward(levels)
        self.after_head += 1
        return logits if mode == 'tensor' else [level.mean() for level in logits]


def toy(**options):
    return dict(type='mmkd.ToyDetector', **options)


def two_losses(**fpn):
    """The short form most tests use: three levels of the neck past connectors, and all levels of the shared head."""
    fpn = {**dict(taps='neck', connector='conv1x1', loss=dict(type='FeatureMSELoss')), **fpn}
    return dict(fpn=fpn, cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss', weight=2.0)))


def batch(size=(32, 48), images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 3, *size, generator=generator)


STUDENT = toy(channels=4, out_channels=6, dropout=0.0)
TEACHER = dict(toy(channels=8, out_channels=10), allow_random=True)


def build(distill=None, **options):
    """A distillation of the toys above, by default with :func:`two_losses`."""
    torch.manual_seed(0)
    options = {**dict(student=STUDENT, teacher=TEACHER, dry_run=dict(size=(32, 32))), **options}
    if 'distiller' not in options:
        options['distill'] = two_losses() if distill is None else distill
    return DenseDistill(**options)


def mse(**entry):
    """One loss, that of the necks' levels, in the short form."""
    return dict(fpn={**dict(taps='neck', loss=dict(type='FeatureMSELoss')), **entry})
