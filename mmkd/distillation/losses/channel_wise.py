"""Channel-wise distillation: where in the map each channel is active."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import ALIGN, align_size, check_batch, check_choice, check_positive, distillation_loss


@distillation_loss
def channel_wise_divergence(
    student: Tensor, teacher: Tensor, temperature: float = 1.0, align: str = 'none', align_corners: bool = False
) -> Tensor:
    r"""KL divergence between the channels of two maps, each taken as a distribution over the positions.

    With :math:`p_c`, :math:`q_c` the softmax over the H*W positions of channel c of ``teacher / T``, ``student / T``,

    .. math:: L = \frac{T^2}{N C} \sum_{n,c} \sum_i p_{c,i} (\log p_{c,i} - \log q_{c,i})

    (Shu et al. 2021, Channel-wise Knowledge Distillation for Dense Prediction). A channel counts as one,
    whatever the size of the map. The paper: T = 4; loss weight 3 on logits, 50 on features; mmrazor's PSPNet
    configuration: T = 1, weight 5. Equal to mmrazor's ``ChannelWiseDivergence`` where that one is defined.

    Args:
        student: Logits or features (N, C, *).
        teacher: Logits or features (N, C, *). They get no gradient.
        temperature: T, above 0.
        align, align_corners: See :func:`~mmkd.distillation.losses.functional.align_size`.

    Returns:
        A scalar; its precision and what raises: see :func:`~mmkd.distillation.losses.functional.distillation_loss`.

    Example:
        >>> import torch
        >>> student = torch.zeros(1, 1, 1, 2)  # q = (1/2, 1/2)
        >>> teacher = torch.tensor([0.75, 0.25]).log().view(1, 1, 1, 2)
        >>> round(channel_wise_divergence(student, teacher).item(), 4)  # .75 log(.75/.5) + .25 log(.25/.5)
        0.1308
    """
    _check_options(temperature, align)
    check_batch(student, teacher, 'channel-wise divergence')
    student, teacher = align_size(student, teacher, align, align_corners, 'channel-wise divergence')
    number, channels = student.shape[:2]
    log_q = F.log_softmax(student.reshape(number, channels, -1) / temperature, dim=2)
    log_p = F.log_softmax(teacher.reshape(number, channels, -1) / temperature, dim=2)
    return F.kl_div(log_q, log_p, log_target=True, reduction='sum') * temperature**2 / max(number * channels, 1)


def _check_options(temperature, align):
    check_positive('channel-wise divergence: temperature', temperature)
    check_choice('channel-wise divergence: align', align, ALIGN)


@MODELS.register_module()
class ChannelWiseDivergence(DistillationLoss):
    """Module of :func:`channel_wise_divergence`.

    Args:
        temperature, align, align_corners: See :func:`channel_wise_divergence`.
        loss_weight: Factor on the loss.
        tau: mmrazor's name for the temperature, so that its configs run as they are. Takes its place if given.

    Example:
        >>> import torch
        >>> x = torch.randn(2, 3, 8, 8)
        >>> ChannelWiseDivergence(temperature=4.0, loss_weight=3.0)(x, x).item()
        0.0
    """

    def __init__(
        self,
        temperature: float = 1.0,
        align: str = 'none',
        align_corners: bool = False,
        loss_weight: float = 1.0,
        tau: float | None = None,
    ):
        temperature = temperature if tau is None else tau
        _check_options(temperature, align)
        super().__init__(loss_weight, temperature=temperature, align=align, align_corners=align_corners)

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of maps (N, C, *), or its mean over two lists of levels."""
        return self.weigh(channel_wise_divergence, preds_S, preds_T)
