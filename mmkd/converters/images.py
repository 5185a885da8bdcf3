"""Moving the normalisation of images into the first layer of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from .format import Conversion

__all__ = ['IMAGENET_MEAN', 'IMAGENET_STD', 'Images', 'fold_images']

# torchvision's and timm's default normalisation on the scale of 0 to 255, channels R, G, B.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class Images(NamedTuple):
    """Images as a network sees them: mean and deviation per channel, on the scale of 0 to 255, in its order."""

    mean: list[float]
    std: list[float]
    is_rgb: bool

    @classmethod
    def of(cls, preprocessor: Mapping[str, Any]) -> Images:
        """As a ``data_preprocessor`` hands them out; mmcv reads images as BGR."""
        mean, std = (list(preprocessor.get(key) or [default] * 3) for key, default in (('mean', 0.0), ('std', 1.0)))
        return cls(mean, std, bool(preprocessor.get('bgr_to_rgb', False)))

    def of_rgb(self, values: Sequence[float]) -> list[float]:
        """Values that are given per channel R, G, B, in the order of these images."""
        return list(values) if self.is_rgb else list(reversed(values))


def fold_images(
    conversion: Conversion, images: Images, mean: Sequence[float], std: Sequence[float], conv: str, norm: str = ''
) -> None:
    """Makes the first convolution take images as the config's data preprocessor hands them out.

    With weights trained on ``(u - mean) / std`` of the RGB image ``u`` and a config that gives ``x = (u - m) / s``, the
    first convolution is ``w * (x * s + m - mean) / std``: the factor goes into its weights, the constant into the
    running mean of the norm behind it. The order of the channels follows the config. Exact but for the outermost
    pixels where the means differ: there zero padding now stands for ``m`` rather than for ``mean``.

    Args:
        conversion: Its tensors are changed.
        images: Those of the config.
        mean: Per channel R, G, B on the scale of 0 to 255, as in the training of the weights.
        std: Likewise.
        conv: Name of the convolution.
        norm: Name of the norm behind it; without one the means have to be equal.

    Raises:
        ValueError: They are not.
    """
    mean, std = images.of_rgb(mean), images.of_rgb(std)
    if images.is_rgb and images.mean == list(mean) and images.std == list(std):
        return
    if not norm and max(abs(a - b) for a, b in zip(images.mean, mean, strict=True)) > 0.01:
        raise ValueError(f'data_preprocessor.mean is {images.mean}, expected {mean}: another mean cannot be folded')
    there, here = (torch.tensor(values, dtype=torch.float64) for values in ((mean, std), images[:2]))
    prefix = '' if conversion.backbone_only else 'backbone.'
    key, mean_key = f'{prefix}{conv}.weight', f'{prefix}{norm}.running_mean'
    order = [0, 1, 2] if images.is_rgb else [2, 1, 0]
    weight = conversion.tensors[key].double()[:, order] / there[1][:, None, None]
    conversion.tensors[key] = (weight * here[1][:, None, None]).float()
    if norm:
        constant = (weight.sum((2, 3)) * (here[0] - there[0])).sum(1)
        conversion.tensors[mean_key] = (conversion.tensors[mean_key].double() - constant).float()
    conversion.notes.append(
        f'normalisation folded into {key}{norm and f" and {mean_key}"}: mean {images.mean}, std {images.std}, '
        f'{"RGB" if images.is_rgb else "BGR"}'
    )
