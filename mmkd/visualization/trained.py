"""A trained network and the images it is looked at on, as a config and a checkpoint describe them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

__all__ = ['build_network', 'build_test_dataset', 'load_network', 'spread', 'spread_indices']


def build_network(cfg: Config) -> nn.Module:
    """The network of a config, with random weights; of a distillation config, the student."""
    from mmkd.registry import MODELS
    from mmkd.utils.student import student_config

    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
        return MODELS.build(student_config(cfg.model))


def load_network(network: nn.Module, checkpoint: str, device: str = 'cpu') -> nn.Module:
    """The network with the weights of a checkpoint, full or student-only, on a device and in eval mode.

    Raises:
        CheckpointError: The checkpoint does not fit.
    """
    from mmkd.utils.student import load_student

    load_student(network, checkpoint)
    return network.to(device).eval()


def build_test_dataset(cfg: Config):
    """The data set of ``cfg.test_dataloader``."""
    from mmkd.registry import DATASETS

    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
        return DATASETS.build(cfg.test_dataloader.dataset)


def spread(dataset, number: int) -> Iterator[dict]:
    """As many items of a data set, spread evenly over it."""
    for index in spread_indices(dataset, number):
        yield dataset[index]


def spread_indices(dataset, number: int) -> list[int]:
    """Which items these are."""
    return np.linspace(0, len(dataset) - 1, min(number, len(dataset))).round().astype(int).tolist()
