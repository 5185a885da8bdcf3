"""What happens to an image before the network sees it, as a part of the graph: test pipeline and data preprocessor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from mmkd.models.utils.traced_sizes import size_tensor
from mmkd.utils.errors import UserError

from .pipelines import step_name, test_pipeline
from .resizing import resize_like_opencv, resize_like_pillow

__all__ = ['Preprocess', 'Prepared']

Size = tuple[Any, Any]  # height and width; tensors while a graph is traced


class Prepared(NamedTuple):
    """What a network gets.

    Attributes:
        inputs: (N, 3, H, W), normalised and padded.
        image_size: Of the images without the padding that the data preprocessor added.
        original_size: Of the images as they came.
        resized_size: Of the images after they were resized.
    """

    inputs: Tensor
    image_size: Size
    original_size: Size
    resized_size: Size

    @property
    def scale(self) -> Size:
        """Pixels of the resized image for one of the original, x and y, as ``scale_factor`` of mmcv has it."""
        return tuple(
            size_tensor(resized) / size_tensor(original)
            for resized, original in zip(reversed(self.resized_size), reversed(self.original_size), strict=True)
        )


class Preprocess(nn.Module):
    """From raw images (N, H, W, 3) uint8 to the input of the network.

    Args:
        cfg: The whole config; its test pipeline says what happens before the data preprocessor.
        data_preprocessor: That of the model.
        colour: ``'rgb'`` or ``'bgr'``, the order of the channels of the raw images.

    Raises:
        UserError: A step that has no counterpart here; names it.
    """

    def __init__(self, cfg: Config, data_preprocessor: nn.Module, colour: str = 'rgb'):
        super().__init__()
        swaps = getattr(data_preprocessor, '_channel_conversion', None)
        if swaps is None:
            swaps = getattr(data_preprocessor, 'channel_conversion', False)
        pipeline = test_pipeline(cfg)
        loaded = next((step for step in pipeline if step_name(step).startswith('LoadImage')), {})
        loaded_as = 'rgb' if loaded.get('channel_order', 'bgr') == 'rgb' else 'bgr'
        self.flips = (colour != loaded_as) != bool(swaps)
        enabled = getattr(data_preprocessor, '_enable_normalize', hasattr(data_preprocessor, 'mean'))
        for name, value in (('mean', 0.0), ('std', 1.0)):
            numbers = getattr(data_preprocessor, name) if enabled else torch.full((3, 1, 1), value)
            self.register_buffer(name, numbers.detach().clone().float())
        self.steps = [step for step in map(_step_of, pipeline) if step is not None]
        self.pad = _padding_of(data_preprocessor)

    def forward(self, images: Tensor) -> Prepared:
        """Prepares images of one size."""
        x = images.permute(0, 3, 1, 2).float().contiguous()  # some operators of mmcv know no other order
        original = resized = x.shape[-2:]
        for step in self.steps:
            x = step(x)
            if isinstance(step, _Resize):
                resized = x.shape[-2:]
        size = x.shape[-2:]
        if self.flips:
            x = x.flip(1)
        x = (x - self.mean) / self.std
        return Prepared(self.pad(x), size, original, resized)


class _Resize(NamedTuple):
    scale: tuple[int, int] | None  # width and height
    factor: tuple[float, float] | None
    keep_ratio: bool
    function: Callable

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x, *self._target(*x.shape[-2:]))

    def _target(self, height, width) -> Size:
        """As ``mmcv.imrescale`` and ``imresize``."""
        height, width = size_tensor(height).double(), size_tensor(width).double()
        goal_width, goal_height = self.scale or (0, 0)
        if self.scale is None:
            goal_height, goal_width = (height * self.factor[1] + 0.5).long(), (width * self.factor[0] + 0.5).long()
        if not self.keep_ratio:
            return goal_height, goal_width
        long_side, short_side = torch.maximum(height, width), torch.minimum(height, width)
        goals = [size_tensor(side).double() for side in (goal_height, goal_width)]
        factor = torch.minimum(torch.maximum(*goals) / long_side, torch.minimum(*goals) / short_side)
        return (height * factor + 0.5).long(), (width * factor + 0.5).long()


class _Pad(NamedTuple):
    size: tuple[int, int] | None  # height and width, which images smaller than that get
    divisor: int
    value: float | Sequence[float]
    square: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        goals = self.size or (height, width)
        if self.square:
            goals = [torch.maximum(size_tensor(height), size_tensor(width))] * 2
        missing = [_missing(side, goal, self.divisor) for side, goal in zip((height, width), goals, strict=True)]
        if all(not isinstance(n, Tensor) and n == 0 for n in missing):
            return x
        if isinstance(self.value, (int, float)):
            return F.pad(x, (0, missing[1], 0, missing[0]), value=float(self.value))
        channels = zip(x.split(1, dim=1), self.value, strict=True)
        return torch.cat([F.pad(c, (0, missing[1], 0, missing[0]), value=float(v)) for c, v in channels], dim=1)


def _missing(side, goal, divisor: int):
    """How many pixels a side needs to reach a goal and a multiple of the divisor; 0 where that is known beforehand."""
    if divisor <= 1 and goal is side:
        return 0
    total = torch.maximum(size_tensor(side), size_tensor(goal))
    return torch.div(total + divisor - 1, divisor, rounding_mode='floor') * divisor - size_tensor(side)


def _step_of(step: dict) -> Callable[[Tensor], Tensor] | None:
    """What a step of the pipeline does to pixels; None for what does nothing to them."""
    name = step_name(step)
    if name.startswith(('LoadImage', 'LoadAnn', 'LoadDepth', 'LoadInstance', 'LoadPanoptic', 'Pack', 'LoadProposals')):
        return None
    if name == 'Resize' and step.get('interpolation', 'bilinear') == 'bilinear':
        scale, factor = step.get('scale'), step.get('scale_factor')
        scale = (scale, scale) if isinstance(scale, int) else scale
        factor = (factor, factor) if isinstance(factor, float) else factor
        function = resize_like_pillow if step.get('backend', 'cv2') == 'pillow' else resize_like_opencv
        return _Resize(scale and tuple(scale), factor, step.get('keep_ratio', False), function)
    if name == 'Pad' and step.get('padding_mode', 'constant') == 'constant':
        value = step.get('pad_val', 0)
        size = step.get('size')
        value = value.get('img', 0) if isinstance(value, dict) else value
        # The size is (width, height) for mmcv.
        return _Pad(
            size and tuple(reversed(size)), step.get('size_divisor') or 1, value, step.get('pad_to_square', False)
        )
    raise UserError(
        f'test_pipeline: {dict(step)} has no counterpart in ONNX; loading, Resize (bilinear), Pad (constant) and '
        'packing have. Take it out of the config, and do it to the images beforehand'
    )


def _padding_of(data_preprocessor: nn.Module) -> _Pad:
    """What the data preprocessor of mmdet or mmseg adds on the right and below, after normalisation."""
    if hasattr(data_preprocessor, 'pad_val'):  # mmseg's, which pads in testing only where it is told to
        test_cfg = data_preprocessor.test_cfg or {}
        return _Pad(test_cfg.get('size'), test_cfg.get('size_divisor') or 1, data_preprocessor.pad_val)
    divisor = getattr(data_preprocessor, 'pad_size_divisor', 1)
    return _Pad(None, divisor, float(getattr(data_preprocessor, 'pad_value', 0)))
