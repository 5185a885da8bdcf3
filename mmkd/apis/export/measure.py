"""Size and latency of a model and of its file, in each runtime that is installed."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mmkd.apis.inference.models import TorchModel

from .runtime import BACKENDS, OnnxModel

__all__ = ['installed_backends', 'latency_table']


def installed_backends() -> list[str]:
    """Those that can be imported."""
    return [name for name in BACKENDS if importlib.util.find_spec(name) is not None]


def latency_table(model: TorchModel, files: dict[str, OnnxModel], image: np.ndarray, rounds: int = 5) -> list[tuple]:
    """From a raw image to results, masks pasted, the median of some rounds, all taking turns.

    Args:
        model: The model in PyTorch.
        files: The exported file in each runtime.
        image: (H, W, 3) uint8, BGR.
        rounds: How many.

    Returns:
        Rows: runtime, size of the file in MB, milliseconds an image, how many times as fast as PyTorch.
    """
    parameters = sum(p.numel() * p.element_size() for p in model.network.state_dict().values())
    sides: dict[str, tuple[float, Callable]] = {'PyTorch': (parameters, model.predict)}
    sides.update({name: (Path(file.path).stat().st_size, file.predict) for name, file in files.items()})
    times: dict[str, list[float]] = {name: [] for name in sides}
    for i in range(rounds + 1):
        for name, (_, predict) in sides.items():
            start = time.perf_counter()
            predict(image, colour='bgr')
            if i:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    medians = {name: 1000 * float(np.median(seconds)) for name, seconds in times.items()}
    return [
        (name, f'{size / 1e6:.1f}', f'{medians[name]:.1f}', f'{medians["PyTorch"] / medians[name]:.2f}')
        for name, (size, _) in sides.items()
    ]


def threads() -> int:
    """How many threads PyTorch uses; the runtimes get as many."""
    return torch.get_num_threads()
