"""Running a network on the side without leaving a trace in the run it belongs to."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import get_rank
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

__all__ = [
    'as_in_training',
    'evaluating',
    'iteration_seed',
    'own_random_numbers',
    'preserve_rng_state',
    'run_as_in_training',
]


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restores the random number generators of Python, numpy and torch (CPU and this process's GPU) on leaving.

    Building a teacher or a connector draws random numbers. With this, the student of a distillation run starts from
    the same weights and sees the same augmentations as the student trained alone with the same seed.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    # only the current device: asking another for its state would take up memory there
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """As :func:`preserve_rng_state`, with random numbers inside that depend on the seed alone."""
    with preserve_rng_state():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():  # not torch.manual_seed, which would seed the other devices for good
            torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(seed)
        yield


def iteration_seed(iteration: int) -> int:
    """A seed of the run, this iteration and this process: a resumed run draws what the unbroken one would have."""
    return (torch.initial_seed() + 1_000_003 * iteration + 7_919_000_027 * get_rank()) % 2**63


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Puts every layer of the models in eval mode, and each back into the mode it was in (frozen stages stay so)."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def as_in_training(model: nn.Module) -> Iterator[None]:
    """Puts a model in training mode, to look at what it gives there, and undoes what that does to it.

    Its batch norms stay in eval mode: some refuse a single image. Modes and buffers are as before when this is left.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        model.train()
        for module in model.modules():
            if isinstance(module, _NormBase):
                module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def run_as_in_training(model: nn.Module, run: Callable[[], object]) -> None:
    """Calls ``run`` with the model :func:`as_in_training`; in eval mode if it cannot be run so on a made-up batch."""
    try:
        with as_in_training(model):
            run()
    except Exception:
        with evaluating(model):
            run()
