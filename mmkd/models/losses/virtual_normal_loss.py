"""Virtual normals: the directions of planes through random points of the scene (Yin et al., ICCV 2019)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmkd.registry import MODELS

__all__ = ['VirtualNormalLoss', 'back_project', 'sample_triples', 'virtual_normal_loss', 'well_spread']


def back_project(depth: Tensor, pixels: Tensor, width: int, intrinsics: Tensor) -> Tensor:
    """Points of the scene, in the camera's frame.

    Args:
        depth: Depths along the optical axis (N, ...), in metres, of the pixels.
        pixels: Which pixels (N, ...), as y * width + x.
        width: Width of the image.
        intrinsics: fx, fy, cx, cy of each image (N, 4), in pixels; the centre of the first pixel is (0, 0).

    Returns:
        x, y, z (N, ..., 3) in metres.
    """
    fx, fy, cx, cy = (value.view(-1, *[1] * (pixels.dim() - 1)) for value in intrinsics.unbind(1))
    x, y = pixels % width, pixels.div(width, rounding_mode='floor')
    return torch.stack([(x - cx) / fx * depth, (y - cy) / fy * depth, depth], dim=-1)


def sample_triples(valid: Tensor, number: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws triples of valid pixels, each point by itself: a triple may have the same one twice.

    Args:
        valid: Which pixels count, bool (N, P).
        number: How many triples for each image.
        generator: Draws on the CPU, so that the triples are the same on every device.

    Returns:
        Indices of pixels (N, number, 3). Of an image without a valid pixel they mean nothing.
    """
    draws = torch.rand(len(valid), number * 3, generator=generator, dtype=torch.float64).to(valid.device)
    counts = valid.sum(dim=1, keepdim=True)
    ranks = (draws * counts).long().clamp(max=valid.shape[1] - 1)
    valid_first = valid.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    return valid_first.gather(1, ranks).view(-1, number, 3)


def well_spread(points: Tensor, min_angle: float, min_distance: float) -> Tensor:
    """Which triangles have no small angle and no short side: the two restrictions of the paper, section 3.2.

    Args:
        points: Corners (..., 3 corners, 3 coordinates).
        min_angle: No two sides enclose less than this, in degrees. With 30, all three angles are in the paper's range
            of 30 to 120 degrees.
        min_distance: No side is shorter than or equal to this, in the unit of the points.

    Returns:
        bool (...).
    """
    a, b, c = points.unbind(-2)
    sides = torch.stack([b - a, c - a, c - b], dim=-2)
    lengths = sides.norm(dim=-1)
    directions = sides / lengths.clamp(min=torch.finfo(points.dtype).tiny).unsqueeze(-1)
    # of two sides that meet in b or c, one points to the corner and one away: the sign of the cosine does not count
    pairs = ((0, 1), (0, 2), (1, 2))
    cosines = torch.stack([(directions[..., i, :] * directions[..., j, :]).sum(-1) for i, j in pairs])
    return (cosines.abs() <= math.cos(math.radians(min_angle))).all(dim=0) & (lengths > min_distance).all(dim=-1)


def virtual_normal_loss(
    prediction: Tensor,
    target: Tensor,
    intrinsics: Tensor,
    num_triples: int = 20000,
    min_angle: float = 30.0,
    min_distance: float = 0.6,
    drop_easiest: float = 0.25,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Difference between the normals of planes through triples of points, predicted and true.

    Random triples of pixels with a reading are back-projected, once with the true depth and once with the predicted.
    Of the triangles in the true cloud those are kept that are well spread (:func:`well_spread`), and of each the unit
    normal :math:`n = \overrightarrow{AB} \times \overrightarrow{AC} / |\cdot|` is taken. The loss is the mean over
    them of

    .. math:: \| n_{pred} - n_{true} \|_1

    (Yin et al., "Enforcing geometric constraints of virtual normal for depth prediction", ICCV 2019, equation 2).

    Args:
        prediction: Depth in metres (N, 1, H, W), above 0.
        target: True depth in metres (N, 1, H, W); 0 where there is no reading.
        intrinsics: fx, fy, cx, cy (N, 4) of the images as they are here: resized, cropped and flipped.
        num_triples: Triples that are drawn for each image. The released code draws 0.15 for each pixel of 385 x 385.
        min_angle: Triangles with a smaller angle, in degrees, are left out. The paper: 30.
        min_distance: Triangles with a side of this length or less, in metres, are left out. The paper: 0.6.
        drop_easiest: The share of the triangles of the batch, those with the smallest difference, that does not count;
            of the released code. 0 for all.
        generator: For reproducible triples.

    Returns:
        A scalar, float32 (or float64 if the prediction is). Zero, with a gradient of zero, where no triple is left.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> import torch
        >>> depth = torch.linspace(1.0, 4.0, 48).view(1, 1, 6, 8)
        >>> camera = torch.tensor([[8.0, 8.0, 3.5, 2.5]])
        >>> virtual_normal_loss(depth, depth, camera).item()
        0.0
        >>> bool(virtual_normal_loss(depth.flip(3), depth, camera) > 0.1)
        True
    """
    if prediction.dim() != 4 or prediction.shape[1] != 1 or prediction.shape != target.shape:
        raise ValueError(
            f'virtual normal loss: two depth maps (N, 1, H, W) were expected, got prediction '
            f'{tuple(prediction.shape)}, target {tuple(target.shape)}'
        )
    if intrinsics.shape != (len(prediction), 4):
        raise ValueError(
            f'virtual normal loss: intrinsics: fx, fy, cx, cy of {len(prediction)} images were expected, got '
            f'{tuple(intrinsics.shape)}'
        )
    width = prediction.shape[-1]
    with torch.autocast(prediction.device.type, enabled=False):
        prediction = prediction.to(torch.promote_types(prediction.dtype, torch.float32)).flatten(1)
        target = target.detach().to(prediction.dtype).flatten(1)
        intrinsics = intrinsics.to(prediction)
        valid = target > 0
        pixels = sample_triples(valid, num_triples, generator)

        def corners(depth: Tensor) -> Tensor:
            return back_project(depth.gather(1, pixels.flatten(1)).view(pixels.shape), pixels, width, intrinsics)

        true = corners(target)
        kept = well_spread(true, min_angle, min_distance) & valid.any(dim=1, keepdim=True)
        if not kept.any():
            return 0 * prediction.sum()
        losses = (_normals(corners(prediction)[kept]) - _normals(true[kept])).abs().sum(dim=1)
        if drop_easiest:
            losses = losses.sort().values[int(len(losses) * drop_easiest) :]
        return losses.mean()


def _normals(corners: Tensor) -> Tensor:
    """Unit normals (M, 3) of triangles (M, 3, 3); zero, without a gradient, where the three points are in a line."""
    a, b, c = corners.unbind(1)
    return F.normalize(torch.cross(b - a, c - a, dim=1), dim=1, eps=1e-8)


@MODELS.register_module()
class VirtualNormalLoss(nn.Module):
    """Module of :func:`virtual_normal_loss`, with random numbers of its own.

    The triples depend on ``seed``, the iteration of the run and the process, and on nothing else: what else is drawn in
    a run stays as it is, and a resumed run draws what the uninterrupted one would have drawn.

    Args:
        num_triples, min_angle, min_distance, drop_easiest: See :func:`virtual_normal_loss`.
        seed: Default: the seed of the run.
        loss_weight: Factor on the loss.
        loss_name: Its name in the log.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        num_triples: int = 20000,
        min_angle: float = 30.0,
        min_distance: float = 0.6,
        drop_easiest: float = 0.25,
        seed: int | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_vn',
    ):
        super().__init__()
        for name, value, fits, range_ in (
            ('num_triples', num_triples, num_triples >= 1, '1 or more'),
            ('min_angle', min_angle, 0 <= min_angle < 60, '0 to less than 60 degrees'),
            ('min_distance', min_distance, min_distance >= 0, '0 or more'),
            ('drop_easiest', drop_easiest, 0 <= drop_easiest < 1, '0 to less than 1'),
        ):
            if not fits:
                raise ValueError(f'VirtualNormalLoss: {name} is {value!r}, expected {range_}')
        self.options = dict(
            num_triples=num_triples, min_angle=min_angle, min_distance=min_distance, drop_easiest=drop_easiest
        )
        self.seed = seed
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self._calls = 0

    def forward(self, prediction: Tensor, target: Tensor, intrinsics: Tensor) -> Tensor:
        """The weighted loss; for shapes and units see :func:`virtual_normal_loss`."""
        generator = torch.Generator().manual_seed(self._seed_of_this_call())
        return self.loss_weight * virtual_normal_loss(
            prediction, target, intrinsics, generator=generator, **self.options
        )

    def _seed_of_this_call(self) -> int:
        iteration = MessageHub.get_current_instance().get_info('iter')  # the Runner's
        if iteration is None:
            iteration = self._calls
            self._calls += 1
        seed = torch.initial_seed() if self.seed is None else self.seed
        return (seed + 1_000_003 * iteration + 7_919_000_027 * get_rank()) % 2**63

    def extra_repr(self) -> str:
        return ', '.join(f'{key}={value}' for key, value in {**self.options, 'loss_weight': self.loss_weight}.items())
