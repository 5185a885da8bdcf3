"""A model that is drawn, with its test data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from .trained import build_network, build_test_dataset, load_network

__all__ = ['ComparedModel', 'OpenModel']


@dataclass(frozen=True)
class ComparedModel:
    """A model that is drawn.

    Attributes:
        title: What stands above its pictures.
        cfg: The config of the model; of a distillation config, the student counts.
        checkpoint: A full or a student-only checkpoint.
    """

    title: str
    cfg: Config
    checkpoint: str

    def open(self, device: str = 'cpu') -> OpenModel:
        """Builds and loads it.

        Raises:
            CheckpointError: The checkpoint does not fit.
        """
        network = load_network(build_network(self.cfg), self.checkpoint, device)
        return OpenModel(self.title, self.cfg, network, build_test_dataset(self.cfg))


@dataclass(frozen=True)
class OpenModel:
    """A model that is loaded.

    Attributes:
        title: What stands above its pictures.
        cfg: Its config.
        network: The network, in eval mode.
        dataset: Its test data.
    """

    title: str
    cfg: Config
    network: nn.Module
    dataset: Any

    def predict(self, index: int) -> Any:
        """The data sample of a test image, with predictions, on the CPU."""
        with torch.no_grad():
            (sample,) = self.network.test_step(pseudo_collate([self.dataset[index]]))
        return sample.cpu()
