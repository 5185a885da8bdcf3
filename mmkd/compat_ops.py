"""Workarounds for the compiled operators of mmcv: precision, and graphs. :mod:`mmkd.compat` puts them in place.

PyTorch is imported where it is needed, so that ``import mmkd`` stays light.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType

__all__ = ['mend_deformable_convolution', 'mend_roi_align', 'refuse_export']


def mend_deformable_convolution(module: ModuleType) -> None:
    """Runs mmcv's deformable convolutions in float32 where they are given half precision, and as memory lies.

    Their kernels read the memory as it lies: what is channels-last comes out scrambled.

    mmcv (up to 2.3.6) has no kernels for bfloat16, nor any for float16 on the CPU, and crashes. Its float16 kernels on
    CUDA keep sampling points in float16, which knows no fractions of a pixel beyond 1024.
    """
    for name in ('deform_conv2d', 'modulated_deform_conv2d'):
        op = getattr(module, name, None)
        if op is None or hasattr(op, '__wrapped__'):
            continue
        mended = _in_single_precision(op)
        for place in (module, sys.modules.get('mmcv.ops')):  # which has the name already if it was imported before
            if getattr(place, name, None) is op:
                setattr(place, name, mended)


def _in_single_precision(op: Callable) -> Callable:
    import torch

    halves = (torch.float16, torch.bfloat16)

    @functools.wraps(op)
    def guarded(x, offset, *args, **kwargs):
        refuse_export('deformable convolutions of mmcv', 'build the network with ordinary ones')
        tensors = [arg.contiguous() if isinstance(arg, torch.Tensor) else arg for arg in (x, offset, *args)]
        if x.dtype not in halves and offset.dtype not in halves:
            return op(*tensors, **kwargs)
        tensors = [tensor.float() if isinstance(tensor, torch.Tensor) else tensor for tensor in tensors]
        return op(*tensors, **kwargs).to(offset.dtype)  # mmcv's rule: the type of the offsets

    return guarded


def mend_roi_align(module: ModuleType) -> None:
    """Runs mmcv's RoIAlign of bfloat16 features in float32: it (up to 2.3.6) has no kernel for them, on no device.

    Args:
        module: ``mmcv.ops.roi_align``; its class looks the function up here.
    """
    import torch

    op = module.roi_align
    if hasattr(op, '__wrapped__'):
        return

    @functools.wraps(op)
    def guarded(features, rois, *args, **kwargs):
        if features.dtype != torch.bfloat16:
            return op(features, rois, *args, **kwargs)
        return op(features.float(), rois.float(), *args, **kwargs).to(features.dtype)

    module.roi_align = guarded


def refuse_export(what: str, instead: str) -> None:
    """Raises while ``torch.export`` is at work, which fails on mmcv's operators with pages about something else.

    Raises:
        NotImplementedError: Says what stands in the way and what to do instead.
    """
    import torch

    if getattr(torch.compiler, 'is_exporting', bool)():  # PyTorch before 2.7 cannot tell, and says it in its own words
        raise NotImplementedError(f'torch.export cannot follow {what}: {instead}, or use torch.jit.trace')
