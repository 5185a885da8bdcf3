"""Images without labels: they are there for the distillation losses alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.logging import MessageHub
from torch import Tensor

__all__ = ['UNLABELLED', 'Part', 'check_same_kinds', 'mean_over_parts', 'split_batch']

# In the metainfo of a data sample, and in the message hub of a run; ``mmkd.datasets.UnlabelledDataset`` writes both.
UNLABELLED = 'unlabelled'

Part = tuple[bool, list[int]]
KINDS = ('images with labels', 'images without labels', 'images with labels and without')


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


def check_same_kinds(parts: Sequence[Part]) -> None:
    """Looks whether all processes have the same kinds of images in a batch: with labels, without, or both.

    Otherwise one of them would compute, say, a denominator over all processes while another computes none. All of them
    have to call this. It costs nothing in a run of one process, or without unlabelled images: then no data set has
    announced any in the message hub, which is the same in all processes.

    Args:
        parts: Of the batch of this process, from :func:`split_batch`.

    Raises:
        ValueError: They have not; raised in all processes. Or there are unlabelled images that no data set has
            announced, so that the others cannot know that there is something to compare.
    """
    if get_world_size() == 1:
        return
    if not MessageHub.get_current_instance().get_info(UNLABELLED):
        if parts:
            raise ValueError(
                'images are marked as unlabelled, but not by mmkd.UnlabelledDataset, which tells all processes of a '
                'run that there are such images: put it around the data set'
            )
        return
    kind = {(): 0, (True,): 0, (False,): 1, (True, False): 2}[tuple(labelled for labelled, _ in parts)]
    kinds = [int(kind) for kind in all_gather(torch.tensor(kind))]
    if len(set(kinds)) > 1:
        told = ', '.join(f'rank {kinds.index(kind)} has {KINDS[kind]}' for kind in dict.fromkeys(kinds))
        raise ValueError(
            f'all processes have to have the same kinds of images in a batch, but {told}. Batches with a fixed share '
            "of each are made by train_dataloader.sampler=dict(type='mmkd.FixedRatioSampler', batch_size=<that of the "
            'loader>, source_ratio=[1, 1]), with a number in source_ratio for each data set of the ConcatDataset'
        )


def mean_over_parts(losses: Sequence[Mapping[str, Tensor]], sizes: Sequence[int]) -> dict[str, Tensor]:
    """The mean of each loss over the images, from the means over the parts of a batch and their numbers of images."""
    total = sum(sizes)
    return {
        name: torch.stack([part[name] * (size / total) for part, size in zip(losses, sizes, strict=True)]).sum(dim=0)
        for name in losses[0]
    }
