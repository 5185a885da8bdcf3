"""Distillation losses: each a pure function and a thin module, in its own file."""

from .attention_transfer import AttentionTransferLoss, attention_transfer_loss
from .base import DistillationLoss
from .channel_wise import ChannelWiseDivergence, channel_wise_divergence
from .context import LossContext
from .dist import DISTLoss, dist_loss
from .feature_mse import FeatureMSELoss, feature_mse_loss
from .fgd import FGDLoss, fgd_focal_loss, fgd_global_loss, foreground_masks
from .fsp import FSPLoss, fsp_loss, fsp_matrix
from .holistic import HolisticLoss, adversarial_discriminator_loss, adversarial_student_loss, gradient_penalty
from .localization import LocalizationDistillationLoss, localization_distillation_loss
from .logit_standardization import LogitStandardized, standardize_logits
from .mask_branch import MaskBranchLoss
from .mgd import MGDLoss, mgd_loss
from .overhaul import OverhaulLoss, overhaul_loss, overhaul_margin
from .pair_wise import PairWiseLoss, pair_wise_loss
from .pixel_wise import PixelWiseLoss, pixel_wise_loss
from .pkd import PKDLoss, pkd_loss
from .teacher_bounded import teacher_bounded_loss
from .teacher_bounded_heads import TeacherBoundedLoss

__all__ = [
    'AttentionTransferLoss',
    'ChannelWiseDivergence',
    'DISTLoss',
    'DistillationLoss',
    'FGDLoss',
    'FSPLoss',
    'FeatureMSELoss',
    'HolisticLoss',
    'LocalizationDistillationLoss',
    'LogitStandardized',
    'MGDLoss',
    'LossContext',
    'MaskBranchLoss',
    'OverhaulLoss',
    'PKDLoss',
    'PairWiseLoss',
    'PixelWiseLoss',
    'TeacherBoundedLoss',
    'adversarial_discriminator_loss',
    'adversarial_student_loss',
    'attention_transfer_loss',
    'channel_wise_divergence',
    'dist_loss',
    'feature_mse_loss',
    'fgd_focal_loss',
    'fgd_global_loss',
    'foreground_masks',
    'fsp_loss',
    'fsp_matrix',
    'gradient_penalty',
    'localization_distillation_loss',
    'mgd_loss',
    'overhaul_loss',
    'overhaul_margin',
    'pair_wise_loss',
    'pixel_wise_loss',
    'pkd_loss',
    'standardize_logits',
    'teacher_bounded_loss',
]
