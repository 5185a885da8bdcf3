"""In which precision a teacher computes, and what of it stays in float32."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator

import torch
from mmcv.cnn.bricks import wrappers
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..taps.levels import mapped

__all__ = ['DTYPES', 'cast_weights', 'keep_in_float32', 'native_half', 'to_float32']

DTYPES = {None: None, 'float32': None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}
# Layers that hand their weights, as they are, to an operator that autocast runs in half precision. What first computes
# something from its weights (a standardised or parametrised one) does that in float32, and autocast does the rest.
PLAIN_FORWARDS = {
    layer.forward
    for layer in (
        *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear),
        *(wrappers.Conv2d, wrappers.Conv3d, wrappers.ConvTranspose2d, wrappers.ConvTranspose3d, wrappers.Linear),
    )
}


def native_half(device: torch.device) -> torch.dtype | None:
    """bfloat16 where a device multiplies in it, not only stores it: GPUs from sm_80, CPUs with avx512_bf16 or amx.

    None elsewhere, and where PyTorch is too old to tell.
    """
    if device.type == 'cuda':
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else None
    if device.type == 'cpu' and hasattr(torch.cpu, 'get_capabilities'):
        capabilities = torch.cpu.get_capabilities()
        return torch.bfloat16 if capabilities.get('avx512_bf16') or capabilities.get('amx_bf16') else None
    return None


def cast_weights(model: nn.Module, dtype: torch.dtype) -> None:
    """Casts the weights of convolutions and linear layers for good.

    Autocast would do so again in each forward, and five times in the one of a head that five levels share. What it
    leaves in float32 (norms, scales), and what :func:`keep_in_float32` has marked, stays as it is.
    """
    for module in _outside_float32(model):
        if (
            type(module).forward in PLAIN_FORWARDS
            and not parametrize.is_parametrized(module)
            and not module._forward_pre_hooks  # in which the older weight_norm and spectral_norm make the weight
        ):
            module.to(dtype)


def keep_in_float32(model: nn.Module, layers: Collection[str] = ()) -> None:
    """Has layers computed in float32 whatever autocast says, with all that is in them.

    mmcv's compiled operators, of which many know no half precision, always are.

    Args:
        model: The network.
        layers: Names of modules (``'neck'``) or of classes (``'LayerNorm'``).

    Raises:
        ValueError: There is no such module, nor one of such a class.
    """
    missing = set(layers)
    for name, module in model.named_modules():
        named = {name, *(cls.__name__ for cls in type(module).__mro__)} & set(layers)
        missing -= named
        if (named or type(module).__module__.startswith('mmcv.ops')) and not _is_in_float32(module):
            module.forward = _in_float32(module.forward)
    if missing:
        raise ValueError(
            f'teacher.float32_layers: {sorted(missing)[0]!r} was expected to name a module of the teacher, '
            f'{type(model).__name__}, or the class of one'
        )


def to_float32(tensor: Tensor) -> Tensor:
    """The tensor, in float32 if it is of half precision."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _in_float32(forward: Callable) -> Callable:
    @functools.wraps(forward)
    def in_float32(*args, **kwargs):
        with torch.autocast('cpu', enabled=False), torch.autocast('cuda', enabled=False):
            return forward(*mapped(to_float32, args), **{k: mapped(to_float32, v) for k, v in kwargs.items()})

    in_float32.in_float32 = True
    return in_float32


def _is_in_float32(module: nn.Module) -> bool:
    return hasattr(vars(module).get('forward'), 'in_float32')


def _outside_float32(model: nn.Module) -> Iterator[nn.Module]:
    if not _is_in_float32(model):
        yield model
        for child in model.children():
            yield from _outside_float32(child)
