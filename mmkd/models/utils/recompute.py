"""Activation checkpointing (``with_cp``) that changes nothing but the memory a network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ['recompute', 'recompute_blocks']


def recompute(module: nn.Module) -> None:
    """Has a module run again in the backward pass instead of keeping its activations.

    ``torch.utils.checkpoint`` alone runs a batch norm twice in each step, and its running statistics move twice. Here
    the second run leaves them as they are. In eval mode, or without gradients, the module runs once as ever. Hooks on
    the module itself run once, those on what is in it twice.

    Args:
        module: Takes tensors as positional arguments.
    """
    module.forward = partial(_recomputed, module, module.forward)


def recompute_blocks(network: nn.Module) -> None:
    """Has the blocks of a network of mmdet or mmseg that were built ``with_cp`` recomputed by :func:`recompute`.

    By themselves they use the reentrant checkpoint, which counts running statistics twice and cannot be asked for
    the gradients of some tensors only.
    """
    for block in network.modules():
        if getattr(block, 'with_cp', False) and block is not network:
            block.with_cp = False
            recompute(block)


def _recomputed(module: nn.Module, forward: Callable, *args: Any) -> Any:
    if not (module.training and torch.is_grad_enabled()):
        return forward(*args)
    return checkpoint(
        forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _kept_running_statistics(module))
    )


@contextmanager
def _kept_running_statistics(module: nn.Module) -> Iterator[None]:
    """Forward passes inside leave the running statistics of batch norms as they are."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, num_batches_tracked in before:
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(num_batches_tracked)
