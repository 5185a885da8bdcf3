"""From the student's normalised images to the teacher's.

One batch feeds both networks, and it is normalised for the student. A teacher trained with another mean, standard
deviation or channel order would see wrong colours, and say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from mmengine.model import BaseDataPreprocessor, ImgDataPreprocessor
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['Normalization', 'NormalizationBridge', 'build_preprocessor']


@dataclass(frozen=True)
class Normalization:
    """What a data preprocessor does to the pixels: ``(x - mean) / std`` after an exchange of channels, then padding.

    Attributes:
        mean: One value for all channels or one each, in the order of the channels after the exchange.
        std: Likewise.
        swaps_channels: Whether BGR becomes RGB (or the reverse).
        pad_value: The value, after normalisation, beyond the border of an image that is smaller than its batch.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    swaps_channels: bool = False
    pad_value: float = 0.0

    @classmethod
    def of(cls, preprocessor: nn.Module | None, key: str = 'data_preprocessor') -> Normalization | None:
        """Reads it from mmengine's, mmdet's or mmseg's; None where the preprocessor does not touch pixels.

        Raises:
            ValueError: It is another, of which it is not known what it does.
        """
        if preprocessor is None or type(preprocessor) is BaseDataPreprocessor:
            return None
        # mmseg 1.2's is no ImgDataPreprocessor and has names of its own
        swaps_channels = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'channel_conversion', None))
        if swaps_channels is None:
            raise ValueError(
                f'{key}: it is not known what a {type(preprocessor).__name__} does to the pixels, so images cannot be '
                "converted from the student's normalisation to the teacher's. Use one derived from mmengine's "
                'ImgDataPreprocessor; or say what the teacher expects with teacher=dict(..., data_preprocessor=dict('
                "mean=..., std=..., bgr_to_rgb=...)); or give it the student's images as they are with "
                'teacher=dict(..., normalize=False)'
            )
        numbers = {}
        if getattr(preprocessor, '_enable_normalize', False):
            numbers = {name: tuple(getattr(preprocessor, name).flatten().tolist()) for name in ('mean', 'std')}
        pad_value = float(getattr(preprocessor, 'pad_value', getattr(preprocessor, 'pad_val', 0)) or 0)
        return cls(swaps_channels=bool(swaps_channels), pad_value=pad_value, **numbers)


class NormalizationBridge:
    """Turns a batch normalised for the student into the one that the teacher's own preprocessor would have made.

    With student statistics ``m_s, s_s`` and teacher statistics ``m_t, s_t`` (in the teacher's channel order):
    ``x_t = x_s * s_s / s_t + (m_s - m_t) / s_t``. The area beyond an image's border holds no pixels, so it is set to
    the teacher's pad value; where it begins is read from ``img_shape`` of the data samples.

    Args:
        student: Normalisation of the batches that come in.
        teacher: Normalisation of those that go out.
    """

    def __init__(self, student: Normalization, teacher: Normalization):
        self.swaps_channels = student.swaps_channels != teacher.swaps_channels
        self.pad_value = teacher.pad_value
        self.student, self.teacher = student, teacher
        self._on_device: dict[torch.device, list[Tensor]] = {}

    @classmethod
    def between(cls, student: nn.Module | None, teacher: nn.Module | None) -> NormalizationBridge | None:
        """The bridge between two data preprocessors; None where there is nothing to do.

        A teacher whose preprocessor does not normalise pixels at all (mmengine's ``BaseDataPreprocessor``, which a
        model has that was configured without one) takes the student's images as they are, as in mmrazor.

        Raises:
            ValueError: Of one of them it is not known what it does.
        """
        source = Normalization.of(student, 'student.data_preprocessor')
        target = Normalization.of(teacher, 'teacher.data_preprocessor')
        if target is None or source == target:
            return None
        return cls(source or Normalization(), target)

    def __call__(self, inputs: Tensor, data_samples: Sequence | None = None) -> Tensor:
        """Converts a batch.

        Args:
            inputs: The student's batch (N, C, H, W); it is not changed.
            data_samples: One per image; without them, or where one has no ``img_shape``, the image is taken to fill
                its place in the batch.

        Returns:
            The teacher's batch (N, C, H, W), float32.
        """
        mean_s, std_s, mean_t, std_t = self._statistics(inputs.device)
        images = inputs.float() * std_s + mean_s
        if self.swaps_channels and inputs.size(1) == 3:
            images = images.flip(1)
        images = (images - mean_t) / std_t
        for image, sample in zip(images, data_samples or (), strict=False):
            height, width = (getattr(sample, 'img_shape', None) or image.shape[-2:])[:2]
            image[:, height:, :] = self.pad_value
            image[:, :, width:] = self.pad_value
        return images

    def _statistics(self, device: torch.device) -> list[Tensor]:
        """Means and deviations of both, (C, 1, 1) each; copied to a device once, not with every batch."""
        if device not in self._on_device:
            numbers = (self.student.mean, self.student.std, self.teacher.mean, self.teacher.std)
            self._on_device[device] = [torch.tensor(values, device=device)[:, None, None] for values in numbers]
        return self._on_device[device]


def build_preprocessor(config: Mapping, key: str) -> nn.Module:
    """Builds a data preprocessor that is asked for what it does to the pixels and nothing else.

    Args:
        config: Of mmengine's ``ImgDataPreprocessor`` unless ``type`` says otherwise: ``mean`` and ``std`` in the units
            of the pixels, 0 to 255, in the order of the channels after ``bgr_to_rgb`` or ``rgb_to_bgr``.
        key: The config key, for messages.

    Raises:
        ValueError: It is no such config.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f'{key}: a dict of mean, std and bgr_to_rgb was expected, got {config!r}')
    config = {name: value for name, value in config.items() if name != '_scope_'}
    try:
        preprocessor = MODELS.build(config) if 'type' in config else ImgDataPreprocessor(**config)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise ValueError(f'{key}: {error}, got {config}') from error
    if getattr(preprocessor, '_enable_normalize', False) and not (preprocessor.std > 0).all():
        raise ValueError(f'{key}.std: numbers above 0 were expected, got {config["std"]}')
    return preprocessor
