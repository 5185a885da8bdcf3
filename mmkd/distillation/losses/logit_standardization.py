"""Logit standardisation, before any loss on logits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mmkd.registry import MODELS

from .base import Levels
from .functional import at_least_float32, autocast_off, check_layout, check_positive, check_weight


def standardize_logits(logits: Tensor, temperature: float = 1.0, eps: float = 1e-7) -> Tensor:
    r"""The Z-score of the logits over the classes, divided by the temperature.

    .. math:: Z_c = \frac{z_c - \bar z}{\sigma(z) \, T}, \qquad \sigma(z)^2 = \frac{1}{C} \sum_c (z_c - \bar z)^2

    at each position (Sun et al. 2024, Logit Standardization in Knowledge Distillation, equation 10). The student need
    not match the range of the teacher's logits any more, only their relations. (The released code divides by C - 1
    in place of C: its T is ours times sqrt((C - 1) / C).)

    Args:
        logits: (N, C, *).
        temperature: T, above 0. The standard deviation of the result is 1 / T.
        eps: Added to the standard deviation. Equal logits become 0 and get no gradient.

    Returns:
        A tensor of the shape of ``logits``, float32 (or float64 if they are).

    Raises:
        ValueError: the temperature is not above 0, the the shape may mean something else.

    Example:
        >>> import torch
        >>> standardize_logits(torch.tensor([[1.0, 3.0]]), temperature=2.0)
        tensor([[-0.5000,  0.5000]])
    """
    check_positive('logit standardisation: temperature', temperature)
    check_layout('logit standardisation', logits)
    with autocast_off(logits.device):
        logits = at_least_float32(logits)
        mean = logits.mean(1, keepdim=True)
        centred = logits - mean
        variance = centred.square().mean(1, keepdim=True)
        # of equal logits only the mean's rounding is left, which 1 / sigma would blow up
        varies = variance > (1e-6 * mean).square()
        sigma = torch.where(varies, variance, 1.0).sqrt()
        return centred * torch.where(varies, 1 / ((sigma + eps) * temperature), 0.0)


@MODELS.register_module()
class LogitStandardized(nn.Module):
    """Any loss on logits (N, C, *), computed of the standardised logits of both networks.

    ``T^2 * loss(Z_S, Z_T)``: with ``PixelWiseLoss`` at its own temperature of 1 this is the method of the paper, whose
    weight of 9 at T = 2 is for classification.

    Args:
        loss: Config of the loss, mmkd's or mmrazor's, or the loss itself. Its own temperature should be 1.
        temperature: See :func:`standardize_logits`.
        loss_weight: Factor on the loss, beside the loss's own.

    Raises:
        TypeError: ``loss`` is neither a config nor a module.
        ValueError: ``temperature`` is not above 0, ``loss_weight`` is below 0, or the loss has one of its own too.

    Example:
        >>> import torch
        >>> loss = LogitStandardized(loss=dict(type='PixelWiseLoss', activation='softmax'), temperature=2.0)
        >>> student = torch.randn(2, 5, 4, 4)
        >>> loss(student, 10 * student + 3).item() < 1e-6
        True
    """

    def __init__(self, loss: Mapping | nn.Module, temperature: float = 1.0, loss_weight: float = 1.0):
        super().__init__()
        check_positive('LogitStandardized: temperature', temperature)
        check_weight('LogitStandardized: loss_weight', loss_weight)
        if not isinstance(loss, (Mapping, nn.Module)):
            raise TypeError(f'LogitStandardized: loss: a config or a module was expected, got {loss!r}')
        self.loss = _build(loss) if isinstance(loss, Mapping) else loss
        own = getattr(self.loss, 'options', {}).get('temperature', getattr(self.loss, 'tau', 1.0))
        if temperature != 1 and own != 1:
            raise ValueError(
                f'LogitStandardized: temperature={temperature} and the temperature {own} of its loss were both given'
            )
        self.temperature = temperature
        self.loss_weight = loss_weight

    def forward(self, preds_S: Levels, preds_T: Levels, **more) -> Tensor:
        """The weighted loss of logits (N, C, *), or of two lists of levels if the loss takes them.

        Args:
            preds_S: The student's logits.
            preds_T: The teacher's. They get no gradient.
            **more: What else the loss takes.

        Raises:
            ValueError: there are fewer than three classes: two standardised logits are always -1 and 1, which teaches
                nothing.
        """
        with torch.no_grad():
            teacher = self._standardized(preds_T)
        loss = self.loss(self._standardized(preds_S), teacher, **more)
        return self.loss_weight * self.temperature**2 * loss

    def _standardized(self, preds: Levels) -> Levels:
        if not isinstance(preds, Tensor):
            return [self._standardized(level) for level in preds]
        if preds.dim() > 1 and preds.shape[1] < 3:
            raise ValueError(
                f'LogitStandardized: of fewer than 3 classes, {tuple(preds.shape)}, standardisation leaves the signs '
                'alone, which teaches nothing; the loss inside it is to be used by itself'
            )
        return standardize_logits(preds, self.temperature)

    def extra_repr(self) -> str:
        """The options."""
        return f'temperature={self.temperature!r}, loss_weight={self.loss_weight!r}'


def _build(config: Mapping) -> nn.Module:
    """A plain name is mmkd's, if mmkd has it, as everywhere in the short form."""
    config = dict(config)
    if 'weight' in config and 'loss_weight' not in config:
        config['loss_weight'] = config.pop('weight')
    kind = config.get('type')
    if isinstance(kind, str) and '.' not in kind and kind in MODELS.module_dict:
        config['type'] = MODELS.module_dict[kind]
    return MODELS.build(config)
