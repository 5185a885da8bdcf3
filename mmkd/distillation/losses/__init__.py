"""Distillation losses: each a pure function and a thin module, in its own file."""

from .base import DistillationLoss
from .channel_wise import ChannelWiseDivergence, channel_wise_divergence
from .feature_mse import FeatureMSELoss, feature_mse_loss
from .holistic import adversarial_critic_loss, adversarial_student_loss, gradient_penalty
from .pair_wise import PairWiseLoss, pair_wise_loss
from .pixel_wise import PixelWiseLoss, pixel_wise_loss
from .pkd import PKDLoss, pkd_loss

__all__ = [
    'ChannelWiseDivergence',
    'DistillationLoss',
    'FeatureMSELoss',
    'PKDLoss',
    'PairWiseLoss',
    'PixelWiseLoss',
    'adversarial_critic_loss',
    'adversarial_student_loss',
    'channel_wise_divergence',
    'feature_mse_loss',
    'gradient_penalty',
    'pair_wise_loss',
    'pixel_wise_loss',
    'pkd_loss',
]
