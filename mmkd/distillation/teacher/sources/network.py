"""A network of another library as a teacher: which there are, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['SOURCES', 'SourceNetwork', 'source_teacher']

# Each is a module here with build(**options), which gives the network, and MEAN and STD of the images that its networks
# are usually trained on; and the extra that brings its library.
SOURCES = dict(timm='timm', torchvision=None, torch=None, onnx='export')


@MODELS.register_module()
class SourceNetwork(nn.Module):
    """A network of another library, called ``backbone`` in it: what ``taps='backbone'`` reads, or a module below.

    Args:
        source: One of :data:`SOURCES`.
        size: Height and width that images are brought to, for networks of a fixed size; None: as they are.
        **options: Of the source's ``build``.

    Raises:
        ValueError: There is no such source, or it has no such option.
        ModuleNotFoundError: Its library is not installed; says how to install it.
    """

    def __init__(self, source: str, size: Sequence[int] | int | None = None, **options: Any):
        super().__init__()
        if source not in SOURCES:
            raise ValueError(f'teacher.source: one of {", ".join(SOURCES)} was expected, got {source!r}')
        self.source = import_module(f'{__package__}.{source}_source')
        self.size = (size, size) if isinstance(size, int) else size
        try:
            self.backbone = self.source.build(**options)
        except ModuleNotFoundError as error:
            extra = SOURCES[source]
            how = f"; pip install 'mmkd[{extra}]' brings it" if extra else ''
            raise ModuleNotFoundError(f'teacher.source={source!r}: {error}{how}', name=error.name) from error
        except TypeError as error:
            raise ValueError(f'teacher: source={source!r} with {options}: {error}') from error

    def load_weights(self, ckpt: str) -> bool:
        """Loads a checkpoint in the library's own way; False where mmkd's is to be used, on :attr:`backbone`."""
        load = getattr(self.source, 'load_weights', None)
        if load is None:
            return False
        load(self.backbone, ckpt)
        return True

    @property
    def has_weights(self) -> bool:
        """Whether it comes with its weights, so that no checkpoint is needed."""
        return getattr(self.source, 'HAS_WEIGHTS', False)

    def forward(self, images: Tensor) -> Any:
        """What the network gives for images (N, 3, H, W)."""
        if self.size is not None and tuple(images.shape[-2:]) != tuple(self.size):
            images = F.interpolate(images, tuple(self.size), mode='bilinear', align_corners=False, antialias=True)
        return self.backbone(images)


def source_teacher(teacher: Mapping[str, Any], options: Sequence[str]) -> dict[str, Any]:
    """The key ``teacher`` with a ``source``, as ``dict(model=..., data_preprocessor=...)`` and the options beside.

    Args:
        teacher: The key: ``source``, ``mean`` and ``std`` (0 to 255, RGB), options of the source, of the teacher.
        options: Which keys are options of the teacher.

    Raises:
        ValueError: There is no such source.
    """
    source = teacher['source']
    if source not in SOURCES:
        raise ValueError(f'teacher.source: one of {", ".join(SOURCES)} was expected, got {source!r}')
    module = import_module(f'{__package__}.{source}_source')
    found = {key: value for key, value in teacher.items() if key in options}
    network = {key: value for key, value in teacher.items() if key not in (*options, 'mean', 'std', '_scope_')}
    usual = module.normalization(**network) if hasattr(module, 'normalization') else (module.MEAN, module.STD)
    mean, std = teacher.get('mean') or usual[0], teacher.get('std') or usual[1]
    if mean is not None:
        # images come as BGR, as mmcv reads them
        found['data_preprocessor'] = dict(mean=[*mean], std=[*std], bgr_to_rgb=True)
    return dict(model=dict(type='mmkd.SourceNetwork', **network), **found)
