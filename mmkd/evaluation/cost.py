"""What a model costs: its parameters and the time for one image."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

__all__ = ['count_parameters', 'milliseconds_per_image']


def count_parameters(model: nn.Module) -> int:
    """Returns the number of parameters, those that are frozen among them."""
    return sum(parameter.numel() for parameter in model.parameters())


def milliseconds_per_image(model: nn.Module, batches: Sequence[Any], repeats: int = 2) -> float:
    """Median time from a loaded image to its predictions, one image at a time.

    That is the data preprocessor, the network and the post-processing; reading the image is not in it. The first image
    is run once before the clock starts.

    Args:
        model: An mmengine model; its ``test_step`` is timed, in eval mode.
        batches: What a data loader of batch size 1 gives.
        repeats: How often all of them are run.

    Raises:
        ValueError: No batches were given.
    """
    if not batches:
        raise ValueError('batches: at least one was expected, got none')
    on_gpu = next(model.parameters()).is_cuda
    training = model.training
    model.eval()
    times = []
    with torch.no_grad():
        model.test_step(batches[0])
        for batch in [*batches] * repeats:
            start = _now(on_gpu)
            model.test_step(batch)
            times.append(_now(on_gpu) - start)
    model.train(training)
    return 1000 * sorted(times)[len(times) // 2]


def _now(on_gpu: bool) -> float:
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()
