"""What the losses share: precision, shapes, masks, and divisions that are safe at zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

ALIGN = ('none', 'student', 'teacher')


def autocast_off(device: torch.device):
    """A context in which nothing is cast to half precision, where sums over a map overflow or round away."""
    if device.type == 'meta':  # has no autocast to switch off
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision becomes float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def distillation_loss(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorates ``function(student, teacher, ...)`` with the three rules that every loss here obeys.

    No gradient reaches the teacher; autocast is off inside; both tensors have the student's precision, at least
    float32. Gradients reach the student in the dtype it came in.

    Returns:
        The function, which gives a scalar, float32 (or float64 if the student is).

    Raises:
        TypeError: (the function) an input is not a tensor.
        ValueError: (the function) an option is unknown, or the shapes do not fit.
    """

    @functools.wraps(function)
    def wrapper(student: Tensor, teacher: Tensor, *args, **kwargs) -> Tensor:
        for name, value in (('student', student), ('teacher', teacher)):
            if not isinstance(value, Tensor):
                raise TypeError(f'{function.__name__}: {name} must be a tensor, but is a {type(value).__name__}')
        with autocast_off(student.device):
            student = at_least_float32(student)
            return function(student, teacher.detach().to(student.dtype), *args, **kwargs)

    return wrapper


def check_choice(name: str, value, choices: Iterable) -> None:
    """Raises ValueError if ``value`` is not one of ``choices``."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f'{name}: expected one of {", ".join(map(repr, choices))}, but got {value!r}')


def check_number(name: str, value: float) -> None:
    """Raises ValueError if ``value`` is not a finite number."""
    if not _is_finite_number(value):
        raise ValueError(f'{name}: expected a finite number, but got {value!r}')


def check_positive(name: str, value: float) -> None:
    """Raises ValueError if ``value`` is not a number above zero, or not finite."""
    if not _is_finite_number(value) or value <= 0:
        raise ValueError(f'{name}: expected {_number_for(value)} above 0, but got {value!r}')


def check_weight(name: str, value: float) -> None:
    """Raises ValueError if ``value`` is not a finite number of at least zero."""
    if not _is_finite_number(value) or value < 0:
        raise ValueError(f'{name}: expected {_number_for(value)} of at least 0, but got {value!r}')


def _is_finite_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _number_for(value) -> str:
    return 'a finite number' if isinstance(value, Real) and not math.isfinite(value) else 'a number'


def check_layout(name: str, *tensors: Tensor) -> None:
    """Raises ValueError if the channels of a tensor cannot be told from its positions.

    Maps are (N, C, H, W) and vectors (N, C). Of three dimensions a transformer's tokens are (N, L, C) and a flattened
    map is (N, C, L): with the one taken for the other, a softmax over the classes would run over the positions.
    """
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if any(len(shape) == 3 for shape in shapes):
        raise ValueError(
            f'{name}: expected maps (N, C, H, W) or vectors (N, C), but got {" and ".join(map(str, shapes))}; three '
            'dimensions may be tokens (N, L, C) as well as a flattened map (N, C, L). Tap a module that gives a map, '
            "or make one: of the student's tokens connector=dict(type='TokenMapConnector'), in code "
            'tokens.transpose(1, 2).unflatten(2, (H, W))'
        )


def check_map(name: str, tensor: Tensor) -> None:
    """Raises ValueError if a tensor is no map (N, C, H, W)."""
    check_layout(name, tensor)
    if tensor.dim() != 4:
        raise ValueError(f'{name}: expected a map (N, C, H, W), but got {tuple(tensor.shape)}')


def check_batch(
    student: Tensor, teacher: Tensor, loss: str, same_channels: bool = True, only_maps: bool = False
) -> None:
    """The check of shapes of all losses on two tensors.

    Args:
        student: (N, C) or (N, C, H, W) or with further dimensions, see :func:`check_layout`.
        teacher: As many dimensions, with the same N.
        loss: For messages.
        same_channels: Whether C has to be the same, too.
        only_maps: Whether they have to be maps (N, C, H, W).

    Raises:
        ValueError: They are not.
    """
    shapes = f'student {tuple(student.shape)}, teacher {tuple(teacher.shape)}'
    check_layout(loss, student, teacher)
    if student.dim() < 2 or student.dim() != teacher.dim():
        raise ValueError(f'{loss}: expected two tensors (N, C, *) of as many dimensions, but got {shapes}')
    if only_maps and student.dim() != 4:
        raise ValueError(f'{loss}: expected maps (N, C, H, W), but got {shapes}')
    if student.shape[0] != teacher.shape[0]:
        raise ValueError(f'{loss}: student and teacher have different batch sizes: {shapes}')
    if same_channels and student.shape[1] != teacher.shape[1]:
        raise ValueError(
            f'{loss}: student and teacher have different numbers of channels (classes): {shapes}; '
            'logits need the same classes, features a connector such as connector="conv1x1"'
        )


def align_size(student: Tensor, teacher: Tensor, align: str, align_corners: bool, loss: str) -> tuple[Tensor, Tensor]:
    """Brings two maps (N, C, H, W) to one spatial size.

    Args:
        student: The student's map.
        teacher: The teacher's map.
        align: What is done about different sizes. ``'none'``: an error; ``'student'``: the teacher's map is resized to
            the student's size; ``'teacher'``: the other way round. Bilinear.
        align_corners: As in ``F.interpolate``.
        loss: For messages.

    Raises:
        ValueError: the sizes differ and ``align`` is ``'none'``, or they are not two-dimensional maps.
    """
    if student.shape[2:] == teacher.shape[2:]:
        return student, teacher
    sizes = f'student {tuple(student.shape)}, teacher {tuple(teacher.shape)}'
    if align == 'none':
        raise ValueError(
            f'{loss}: student and teacher have different spatial sizes: {sizes}; is it the same level of both? '
            "If so, align='student' resizes the teacher's map to the student's size, align='teacher' the student's"
        )
    if student.dim() != 4:
        raise ValueError(f'{loss}: only maps (N, C, H, W) can be resized, but got {sizes}')
    resize = functools.partial(F.interpolate, mode='bilinear', align_corners=align_corners)
    if align == 'student':
        return student, resize(teacher, size=student.shape[2:])
    return resize(student, size=teacher.shape[2:]), teacher


def safe_norm(x: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """L2 norm along ``dim`` whose gradient at the zero vector is zero. That of ``torch.norm`` through sqrt is NaN."""
    square = x.square().sum(dim, keepdim=keepdim)
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)


def standardize_channels(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Mean 0, (unbiased) standard deviation 1 of each channel of (N, C, *), over batch and positions.

    A constant channel becomes 0 and gets no gradient.
    """
    dims = [0, *range(2, x.dim())]
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    count = max(x.numel() // x.shape[1] - 1, 1)
    variance = centred.square().sum(dims, keepdim=True) / count
    # of a constant channel only the mean's rounding is left, which 1 / std would blow up, in the gradient above all
    varies = variance > (eps * mean).square()
    std = torch.where(varies, variance, 1.0).sqrt()
    return centred * torch.where(varies, 1 / (std + eps), 0.0)


def unit_vectors(x: Tensor, eps: float = 1e-8, detach_norm: bool = False) -> Tensor:
    """Divides each vector ``x[n, :, ...]`` by its norm plus ``eps``. A zero vector stays zero and gets no gradient.

    Args:
        x: (N, C, *).
        eps: Added to the norm.
        detach_norm: Treats the norm as a constant in the backward pass.
    """
    norm = safe_norm(x.detach() if detach_norm else x, dim=1, keepdim=True)
    positive = norm > 0
    return x * torch.where(positive, 1 / (torch.where(positive, norm, 1.0) + eps), 0.0)
