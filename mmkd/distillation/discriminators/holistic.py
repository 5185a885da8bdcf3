"""The discriminator of holistic distillation (Structured Knowledge Distillation, Liu et al., CVPR 2019 and TPAMI 2020).

It scores whole score maps: the teacher's are "real", the student's are "fake". Four strided convolutions under spectral
normalisation, self-attention after the last two, one unnormalised convolution to a single number an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mmkd.registry import MODELS

FINAL_SIZE = 4
MIN_SIZE = 16


class SelfAttention(nn.Module):
    """Self-attention over all positions of a map, added with a learned weight that starts at zero (SAGAN).

    Shapes: (N, C, H, W) to (N, C, H, W). Queries and keys have C / 8 channels; the dot products are not scaled.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        return x + self.gamma * (value @ attention.transpose(1, 2)).view_as(x)


@MODELS.register_module()
class HolisticDiscriminator(BaseModule):
    """Scores score maps of a segmentation network.

    With an input of 65 x 65, the size the paper's 512 crops give, the maps shrink to 4 x 4 and the last convolution
    sees all of it. At any other size the last map is average-pooled to 4 x 4 first, so that the same weights work.
    A side below 16, which cannot be halved four times, is enlarged to 16 beforehand.

    Args:
        in_channels: Channels of the score map, that is, the number of classes.
        base_channels: Channels of the first convolution; each further one doubles them.
        preprocess: What is done to the score map first: ``'bn'`` (batch normalisation, the default of the authors'
            released code), ``'tanh'``, ``'softmax'`` (over classes; the conditional form of the CVPR code) or None.
        conditional: Whether the discriminator also sees the image, resized to the score map and concatenated before it,
            as in the paper. The released code leaves the image out.
        image_channels: Channels of that image.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int = 64,
        preprocess: str | None = 'bn',
        conditional: bool = False,
        image_channels: int = 3,
        init_cfg=None,
    ):
        super().__init__(init_cfg)
        if preprocess not in ('bn', 'tanh', 'softmax', None):
            raise ValueError(f"discriminator.preprocess: got {preprocess!r}, expected 'bn', 'tanh', 'softmax' or None")
        self.preprocess = preprocess
        self.conditional = conditional
        self.norm = nn.BatchNorm2d(in_channels) if preprocess == 'bn' else None
        widths = [in_channels + image_channels * conditional, *(base_channels * 2**i for i in range(4))]
        self.l1, self.l2, self.l3, self.l4 = (_down(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.attn1 = SelfAttention(widths[3])
        self.attn2 = SelfAttention(widths[4])
        self.last = nn.Conv2d(widths[4], 1, FINAL_SIZE)

    def forward(self, scores: Tensor, images: Tensor | None = None) -> Tensor:
        """Returns one score an image, (N,).

        Args:
            scores: Raw logits, (N, in_channels, H, W).
            images: Network input, (N, image_channels, *, *); wanted if and only if the discriminator is conditional.
        """
        if self.conditional != (images is not None):
            given = 'not given' if images is None else 'given'
            raise ValueError(f'discriminator.conditional is {self.conditional}, but images were {given}')
        x = self._preprocess(scores)
        if images is not None:
            x = torch.cat([F.interpolate(images, x.shape[-2:], mode='bilinear', align_corners=True), x], dim=1)
        if min(x.shape[-2:]) < MIN_SIZE:
            x = F.interpolate(x, [max(size, MIN_SIZE) for size in x.shape[-2:]], mode='bilinear', align_corners=False)
        x = self.attn1(self.l3(self.l2(self.l1(x))))
        x = self.attn2(self.l4(x))
        if x.shape[-2:] != (FINAL_SIZE, FINAL_SIZE):
            x = F.adaptive_avg_pool2d(x, FINAL_SIZE)
        return self.last(x).flatten()

    def _preprocess(self, scores: Tensor) -> Tensor:
        if self.preprocess == 'bn':
            return self.norm(scores)
        if self.preprocess == 'tanh':
            return torch.tanh(scores)
        if self.preprocess == 'softmax':
            return torch.softmax(scores, dim=1)
        return scores

    @contextmanager
    def per_sample(self) -> Iterator[None]:
        """Makes the discriminator a function of each sample alone, and leaves its state as it is.

        In train mode batch normalisation ties the samples of a batch together, so that the gradient with respect to one
        sample is not that of its own score, and every forward runs a power iteration of the spectral norm. Inside this
        context the running statistics and the present singular vectors are used. The gradient penalty and the student's
        step run in it; only the discriminator's own scores of real and fake maps move its state.
        """
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, FINAL_SIZE, stride=2, padding=1)
    return nn.Sequential(spectral_norm(conv), nn.LeakyReLU(0.1))
