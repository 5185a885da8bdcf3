"""Images without labels: they are there for the distillation losses alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ['UNLABELLED', 'Part', 'mean_over_parts', 'split_batch']

# In the metainfo of a data sample; ``mmkd.datasets.UnlabelledDataset`` writes it.
UNLABELLED = 'unlabelled'

Part = tuple[bool, list[int]]


def split_batch(data_samples: Sequence | None) -> list[Part]:
    """The images of a batch with labels and those without, as (whether labelled, indices); only parts that exist.

    A batch without data samples is one with labels: whoever leaves them out knows what the student's losses need.
    """
    if not isinstance(data_samples, (list, tuple)):
        return []
    marked = [bool(sample.get(UNLABELLED, False)) if hasattr(sample, 'get') else False for sample in data_samples]
    if not any(marked):
        return []
    parts = [(True, [i for i, mark in enumerate(marked) if not mark]), (False, [i for i, m in enumerate(marked) if m])]
    return [part for part in parts if part[1]]


def mean_over_parts(losses: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]) -> dict[str, Tensor]:
    """The mean of each loss over the images, from the means over the parts of a batch and their numbers of images."""
    total = sum(sizes)
    return {
        name: torch.stack([part[name] * (size / total) for part, size in zip(losses, sizes, strict=True)]).sum(dim=0)
        for name in losses[0]
    }
