"""Pair-wise distillation: how alike any two places of the map are, in the student and in the teacher."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from mmkd.registry import MODELS

from .base import DistillationLoss, Levels
from .functional import check_batch, check_choice, distillation_loss, unit_vectors

POOLS = ('max', 'avg', None)
REDUCTIONS = ('mean', 'batch_sum', 'sum')
METHODS = ('auto', 'direct', 'gram')
# Up to here both forms take milliseconds, and the direct one is the more exact.
MAX_DIRECT_NODES = 256


@distillation_loss
def pair_wise_loss(
    student: Tensor,
    teacher: Tensor,
    pool: str | None = 'max',
    scale: float = 0.5,
    node_size: int | tuple[int, int] | None = None,
    nodes: int | tuple[int, int] | None = None,
    connection_radius: int | None = None,
    detach_norm: bool = True,
    eps: float = 1e-8,
    reduction: str = 'mean',
    method: str = 'auto',
) -> Tensor:
    r"""Squared difference between the cosine affinities of all pairs of nodes of student and teacher.

    The map is pooled to n nodes; :math:`f_i` is the vector of node i and :math:`a_{ij} = f_i \cdot f_j / (\|f_i\|
    \|f_j\|)`. Then

    .. math:: L = \frac{1}{N n^2} \sum_{i,j} (a^S_{ij} - a^T_{ij})^2

    (Liu et al. 2019, Structured Knowledge Distillation, pair-wise distillation). The numbers of channels may differ.

    ============================ =================================================================================
    what                         options
    ============================ =================================================================================
    released code of the paper,  the defaults: max-pooling, kernel = stride = floor(H / 2), floor(W / 2), last window
    DeepLabV3+ KD                cut at the border: 2 x 2 or 3 x 3 nodes; the norm is a constant in the backward pass
    the paper's best row         ``pool='avg', node_size=2``: each node is the mean of 2 x 2 positions
    its first (CVPR) code        ``pool=None, detach_norm=False, eps=0``: every position is a node
    ============================ =================================================================================

    With many nodes the two n x n matrices are not built: with the unit vectors as columns of S and T,
    :math:`\|S^T S - T^T T\|^2 = \|S S^T\|^2 + \|T T^T\|^2 - 2 \|S T^T\|^2` exactly, which needs matrices of channels
    x channels only. That form subtracts large numbers: where student and teacher almost agree (their affinities differ
    by some 1e-4), its value is mostly rounding, and so it is with TF32 matrix products (off by default in PyTorch)
    where they differ by 1e-2. The gradient suffers far less.

    Args:
        student: Features (N, C_s, H, W).
        teacher: Features (N, C_t, H', W'). They get no gradient. H' x W' has to give as many nodes as H x W.
        pool: ``'max'``, ``'avg'``, or None for one node at each position.
        scale: Size of a node relative to the map, in (0, 1]: kernel = stride = max(1, floor(size * scale)).
        node_size: Size of a node in positions (the paper's granularity beta), instead of ``scale``.
        nodes: Size of the node grid, by adaptive pooling, instead of ``scale``; joins maps of unequal sizes.
        connection_radius: Only pairs of nodes at most this far apart in x and in y (Chebyshev) count, and the sum is
            divided by their number: the paper's connection range, alpha = (2 r + 1)^2. None: all pairs.
        detach_norm: Whether the norms are constants in the backward pass. False gives the exact gradient, which has
            no part along the feature itself.
        eps: Added to the norms. A zero vector has affinity 0 with all, and no gradient.
        reduction: ``'mean'`` over the batch, ``'batch_sum'`` (sum over the batch of the means over the pairs), or
            ``'sum'`` over both.
        method: ``'direct'`` (n x n matrices), ``'gram'``, or ``'auto'``: ``'gram'`` if n is above 256 and it takes
            fewer multiplications.

    Returns:
        A scalar, float32 (or float64 if the student is).

    Raises:
        TypeError: an input is not a tensor.
        ValueError: an option is unknown or out of range, options exclude each other, or the shapes do not fit.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # two nodes at a right angle
        >>> teacher = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)  # two nodes in one direction
        >>> pair_wise_loss(student, teacher, pool=None).item()  # (0 + 1 + 1 + 0) / 4
        0.5
    """
    _check_options(pool, scale, node_size, nodes, connection_radius, eps, reduction, method)
    check_batch(student, teacher, 'pair-wise loss', same_channels=False, only_maps=True)
    sizes = f'student {tuple(student.shape)}, teacher {tuple(teacher.shape)}'
    student = _pool_nodes(student, pool, scale, node_size, nodes)
    teacher = _pool_nodes(teacher, pool, scale, node_size, nodes)
    if student.shape[2:] != teacher.shape[2:]:
        raise ValueError(
            f'pair-wise loss: {sizes} give different node grids, {tuple(student.shape[2:])} and '
            f'{tuple(teacher.shape[2:])}; is it the same level of both? If so, nodes=(h, w) pools both to one grid'
        )
    student, teacher = unit_vectors(student, eps, detach_norm), unit_vectors(teacher, eps)
    if connection_radius is not None:
        totals, pairs = _local_difference(student, teacher, connection_radius)
    else:
        student, teacher = student.flatten(2), teacher.flatten(2)
        pairs = student.shape[2] ** 2
        if method == 'auto':
            method = 'gram' if _gram_is_cheaper(student.shape[2], student.shape[1], teacher.shape[1]) else 'direct'
        totals = (_gram_difference if method == 'gram' else _direct_difference)(student, teacher)
    divisor = {'mean': pairs * max(len(totals), 1), 'batch_sum': pairs, 'sum': 1}
    return totals.sum() / divisor[reduction]


def _pool_nodes(x: Tensor, pool, scale, node_size, nodes) -> Tensor:
    if pool is None:
        return x
    if nodes is not None:
        adaptive_pool = F.adaptive_max_pool2d if pool == 'max' else F.adaptive_avg_pool2d
        return adaptive_pool(x, nodes)
    if node_size is None:
        node_size = tuple(max(1, int(size * scale)) for size in x.shape[2:])
    window = dict(kernel_size=node_size, stride=node_size, ceil_mode=True)
    if pool == 'max':
        return F.max_pool2d(x, **window)
    # Nothing is padded, but with count_include_pad=True torch.compile (2.13, CPU) gets the gradient of windows cut at
    # the border wrong.
    return F.avg_pool2d(x, **window, count_include_pad=False)


def _gram_is_cheaper(nodes: int, student_channels: int, teacher_channels: int) -> bool:
    """Compares the multiplications of the two forms, each divided by the number of nodes."""
    if nodes <= MAX_DIRECT_NODES:
        return False
    direct = nodes * (student_channels + teacher_channels)
    gram = student_channels**2 + teacher_channels**2 + student_channels * teacher_channels
    return direct > gram


def _direct_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """Sum of squared affinity differences of each image, from unit vectors (N, C, n)."""
    student_affinity = student.transpose(1, 2) @ student
    teacher_affinity = teacher.transpose(1, 2) @ teacher
    return (student_affinity - teacher_affinity).square().sum(dim=(1, 2))


def _gram_difference(student: Tensor, teacher: Tensor) -> Tensor:
    """The same without n x n matrices.

    The last sums are in float64, since large numbers are subtracted there. A difference that rounding makes negative
    is returned as 0, with its gradient: that one does not suffer from the subtraction.
    """

    def squared_product(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.transpose(1, 2)).double().square().sum(dim=(1, 2))

    within = squared_product(student, student) + squared_product(teacher, teacher)
    difference = within - 2 * squared_product(student, teacher)
    return (difference - difference.detach().clamp(max=0)).to(student.dtype)


def _local_difference(student: Tensor, teacher: Tensor, radius: int) -> tuple[Tensor, int]:
    """The same over ordered pairs within ``radius``, from (N, C, h, w), and the number of such pairs.

    Goes through the relative positions of two nodes and compares the whole map with itself moved by each, so that no
    more than one number for each pair is kept. The affinity is symmetric: half of the moves are enough.
    """
    height, width = student.shape[2:]
    total, pairs = student.new_zeros(len(student)), 0
    for dy in range(min(radius, height - 1) + 1):
        for dx in range(-min(radius, width - 1), min(radius, width - 1) + 1):
            if dy == 0 and dx < 0:
                continue
            difference = _moved_affinity(student, dy, dx) - _moved_affinity(teacher, dy, dx)
            count = 1 if dy == dx == 0 else 2
            total = total + count * difference.square().sum(dim=(1, 2))
            pairs += count * (height - dy) * (width - abs(dx))
    return total, pairs


def _moved_affinity(x: Tensor, dy: int, dx: int) -> Tensor:
    """Cosine of each node (y, x) with the node (y + dy, x + dx), for dy >= 0, where both exist."""
    height, width = x.shape[2:]
    here = x[:, :, : height - dy, max(0, -dx) : width - max(0, dx)]
    there = x[:, :, dy:, max(0, dx) : width + min(0, dx)]
    return (here * there).sum(dim=1)


def _check_options(pool, scale, node_size, nodes, connection_radius, eps, reduction, method):
    check_choice('pair-wise loss: pool', pool, POOLS)
    check_choice('pair-wise loss: reduction', reduction, REDUCTIONS)
    check_choice('pair-wise loss: method', method, METHODS)
    if not 0 < scale <= 1:
        raise ValueError(f'pair-wise loss: scale: expected a number in (0, 1], but got {scale!r}')
    if not (eps >= 0 and math.isfinite(eps)):
        raise ValueError(f'pair-wise loss: eps: expected a number of at least 0, but got {eps!r}')
    for name, value in (('node_size', node_size), ('nodes', nodes)):
        values = value if isinstance(value, (tuple, list)) else (value, value)
        if value is not None and (len(values) != 2 or not all(isinstance(v, int) and v > 0 for v in values)):
            raise ValueError(f'pair-wise loss: {name}: expected one or two whole numbers above 0, but got {value!r}')
        if value is not None and pool is None:
            raise ValueError(f"pair-wise loss: {name}={value!r} needs pool='max' or 'avg', but pool is None")
    if node_size is not None and nodes is not None:
        raise ValueError(f'pair-wise loss: node_size={node_size!r} and nodes={nodes!r} exclude each other')
    if connection_radius is not None:
        if not isinstance(connection_radius, int) or connection_radius < 0:
            raise ValueError(
                f'pair-wise loss: connection_radius: expected a whole number of at least 0 or None, '
                f'but got {connection_radius!r}'
            )
        if method != 'auto':
            raise ValueError(f"pair-wise loss: connection_radius needs method='auto', but got {method!r}")


@MODELS.register_module()
class PairWiseLoss(DistillationLoss):
    """Module of :func:`pair_wise_loss`.

    Args:
        pool, scale, node_size, nodes, connection_radius, detach_norm, eps, reduction, method: See
            :func:`pair_wise_loss`.
        loss_weight: Factor on the loss.

    Example:
        >>> import torch
        >>> loss = PairWiseLoss(pool='avg', node_size=2)
        >>> bool(loss(torch.randn(2, 128, 16, 16), torch.randn(2, 256, 16, 16)) > 0)
        True
    """

    def __init__(
        self,
        pool: str | None = 'max',
        scale: float = 0.5,
        node_size: int | tuple[int, int] | None = None,
        nodes: int | tuple[int, int] | None = None,
        connection_radius: int | None = None,
        detach_norm: bool = True,
        eps: float = 1e-8,
        reduction: str = 'mean',
        method: str = 'auto',
        loss_weight: float = 1.0,
    ):
        _check_options(pool, scale, node_size, nodes, connection_radius, eps, reduction, method)
        super().__init__(
            loss_weight,
            pool=pool,
            scale=scale,
            node_size=node_size,
            nodes=nodes,
            connection_radius=connection_radius,
            detach_norm=detach_norm,
            eps=eps,
            reduction=reduction,
            method=method,
        )

    def forward(self, preds_S: Levels, preds_T: Levels) -> Tensor:
        """The weighted loss of features (N, C, H, W), or its mean over two lists of levels."""
        return self.weigh(pair_wise_loss, preds_S, preds_T)
