"""Distillation losses: each a pure function and a thin module, in its own file."""

from .attention_transfer import AttentionTransferLoss, attention_transfer_loss
from .base import DistillationLoss
from .channel_wise import ChannelWiseDivergence, channel_wise_divergence
from .feature_mse import FeatureMSELoss, feature_mse_loss
from .holistic import adversarial_critic_loss, adversarial_student_loss, gradient_penalty
from .overhaul import OverhaulLoss, overhaul_loss, overhaul_margin
from .pair_wise import PairWiseLoss, pair_wise_loss
from .pixel_wise import PixelWiseLoss, pixel_wise_loss
from .pkd import PKDLoss, pkd_loss

__all__ = [
    'AttentionTransferLoss',
    'ChannelWiseDivergence',
    'DistillationLoss',
    'FeatureMSELoss',
    'OverhaulLoss',
    'PKDLoss',
    'PairWiseLoss',
    'PixelWiseLoss',
    'adversarial_critic_loss',
    'adversarial_student_loss',
    'attention_transfer_loss',
    'channel_wise_divergence',
    'feature_mse_loss',
    'gradient_penalty',
    'overhaul_loss',
    'overhaul_margin',
    'pair_wise_loss',
    'pixel_wise_loss',
    'pkd_loss',
]
