"""The generator of MGD: the student's feature with holes in it, from which the teacher's whole feature is made."""

from __future__ import annotations

import random

import torch
from mmengine.dist import get_rank
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

from ..losses.functional import check_map

MASKED = ('position', 'channel')


@MODELS.register_module()
class MaskedGenerationConnector(BaseModule):
    r"""Masks the feature at random and generates the teacher's from what is left (Yang et al. 2022, equations 1 to 3).

    .. math:: G(S) = W_2 * \mathrm{relu}(W_1 * (M \cdot f(S))), \qquad M_i = 0 \text{ with probability } mask\_ratio,

    where :math:`W_1`, :math:`W_2` are 3x3 convolutions and f a 1x1 convolution if the numbers of channels differ. It
    goes before a mean squared error, ``MGDLoss``, and is trained with the student. The weights have the names of
    mmrazor's ``MGDConnector``.

    The masks come from a random stream of its own: those that the run draws from stay as they are without it. Masks
    differ between steps, sizes of maps and processes; a resumed run goes on with the masks of the uninterrupted one.

    Args:
        in_channels: Channels of the student's feature.
        out_channels: Channels of the teacher's feature.
        mask_ratio: Probability that a position or channel is masked, at least 0 and below 1. The paper: 0.65 for
            one-stage, 0.45 for two-stage detectors, 0.75 for segmentation.
        mask_on: What is masked as one: ``'position'``, all channels of a place, or ``'channel'``, all of its places.
        seed: Of the masks.
        init_cfg: As in every mmengine module.

    Raises:
        ValueError: ``mask_ratio`` or ``mask_on`` is out of range.

    Example:
        >>> import torch
        >>> MaskedGenerationConnector(128, 256)(torch.zeros(2, 128, 7, 5)).shape
        torch.Size([2, 256, 7, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.65,
        mask_on: str = 'position',
        seed: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if not isinstance(mask_ratio, (int, float)) or not 0 <= mask_ratio < 1:
            raise ValueError(f'MaskedGenerationConnector: mask_ratio: expected 0 <= ratio < 1, but got {mask_ratio!r}')
        if mask_on not in MASKED:
            raise ValueError(f'MaskedGenerationConnector: mask_on: expected one of {MASKED}, but got {mask_on!r}')
        self.mask_ratio = mask_ratio
        self.mask_on = mask_on
        self.seed = seed
        self.step = 0
        self.align = None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.generation = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, feature: Tensor) -> Tensor:
        """Maps (N, in_channels, H, W) to (N, out_channels, H, W).

        Raises:
            ValueError: the feature is no map.
        """
        check_map('MaskedGenerationConnector', feature)
        if self.align is not None:
            feature = self.align(feature)
        generated = self.generation(feature * self._mask(feature))
        if self.training:
            self.step += 1
        return generated

    def _mask(self, feature: Tensor) -> Tensor:
        """Zeros and ones (N, 1, H, W) or (N, C, 1, 1), those of this step."""
        number, channels, height, width = feature.shape
        key = f'{self.seed}, {get_rank()}, {self.step}, {height} x {width}'
        generator = torch.Generator(feature.device).manual_seed(random.Random(key).getrandbits(63))
        shape = (number, 1, height, width) if self.mask_on == 'position' else (number, channels, 1, 1)
        drawn = torch.rand(shape, generator=generator, device=feature.device)
        return (drawn >= self.mask_ratio).to(feature.dtype)

    # The step as a number: a buffer would lie on the GPU, and reading it there would wait for all that is queued.

    def get_extra_state(self) -> Tensor:
        """The step, for the checkpoint."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on from the step of a checkpoint."""
        self.step = int(state)
