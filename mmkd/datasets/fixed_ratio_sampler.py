"""Batches with a fixed share of each data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from mmengine.dataset import ConcatDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmkd.registry import DATA_SAMPLERS

__all__ = ['FixedRatioSampler']


@DATA_SAMPLERS.register_module()
class FixedRatioSampler(Sampler):
    """Samples a ``ConcatDataset`` such that each batch has the same number of samples of each data set.

    That holds for all processes, which :class:`DenseDistill` needs of images with labels and without: what has to be
    computed together (statistics of a ``SyncBatchNorm``, denominators of losses) is computed by all or by none::

        train_dataloader = dict(
            batch_size=8,
            sampler=dict(type='mmkd.FixedRatioSampler', batch_size=8, source_ratio=[1, 1], infinite=True),
            dataset=dict(type='ConcatDataset', datasets=[
                dict(type='mmkd.CamVidDataset', ...),
                dict(type='mmkd.UnlabelledDataset', dataset=dict(type='mmkd.CamVidDataset', ...))]))

    An epoch is one pass over the first data set; of the others it has as many samples as go with it, others in each
    epoch. (mmdet's ``MultiSourceSampler`` makes such batches too, but its epochs never end.)

    Args:
        dataset: The ``ConcatDataset``.
        batch_size: Samples in a batch of one process, as in the data loader.
        source_ratio: A number for each data set, by which a batch is shared out; each gets at least one sample, and the
            first gets what remains.
        shuffle: Whether each data set is shuffled.
        seed: The same on all processes; None to agree on one.
        infinite: Whether epoch follows epoch without an end, as iteration-based loops prefer, since workers need not
            be started anew.

    Raises:
        ValueError: The data set is no ``ConcatDataset``, or an option does not fit it.
    """

    def __init__(
        self,
        dataset: ConcatDataset,
        batch_size: int,
        source_ratio: Sequence[float],
        shuffle: bool = True,
        seed: int | None = None,
        infinite: bool = False,
    ):
        sizes = _sizes_of(dataset)
        self.per_source = _shares(batch_size, source_ratio, len(sizes))
        self.rank, self.world_size = get_dist_info()
        self.sizes = sizes
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.infinite = infinite
        self.epoch = 0
        self._skipped = 0

    def __iter__(self) -> Iterator[int]:
        epochs = itertools.count(self.epoch) if self.infinite else [self.epoch]
        order = itertools.chain.from_iterable(map(self._epoch, epochs))
        return itertools.islice(order, self._skipped, None)

    def __len__(self) -> int:
        """Samples of this process in an epoch."""
        return self._batches() * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Begins an epoch."""
        if not self.infinite:
            self.epoch = epoch

    @property
    def skip(self) -> Callable[[int], None]:
        """``skip(number)`` leaves out the first samples; mmengine asks for it to go on with an iteration-based run."""
        if not self.infinite:
            raise AttributeError('skip: only an infinite sampler has a place to go on from')
        return self._skip

    def _skip(self, number: int) -> None:
        self._skipped = number

    def _batches(self) -> int:
        return -(-self.sizes[0] // (self.per_source[0] * self.world_size))

    def _epoch(self, epoch: int) -> Iterator[int]:
        """The samples of this process in an epoch, batch by batch."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        batches, sources, start = self._batches(), [], 0
        for size, share in zip(self.sizes, self.per_source, strict=True):
            needed = batches * share * self.world_size
            order = list(itertools.islice(self._passes(size, generator), needed))
            sources.append([start + index for index in order[self.rank :: self.world_size]])
            start += size
        for batch in range(batches):
            for indices, share in zip(sources, self.per_source, strict=True):
                yield from indices[batch * share : (batch + 1) * share]

    def _passes(self, size: int, generator: torch.Generator) -> Iterator[int]:
        """A data set over and over."""
        while True:
            yield from (torch.randperm(size, generator=generator) if self.shuffle else torch.arange(size)).tolist()


def _sizes_of(dataset: ConcatDataset) -> list[int]:
    parts = getattr(dataset, 'datasets', None)
    if not isinstance(dataset, torch.utils.data.ConcatDataset):
        raise ValueError(f'FixedRatioSampler: a ConcatDataset was expected, got {type(dataset).__name__}')
    sizes = [len(part) for part in parts]
    if 0 in sizes:
        raise ValueError(f'FixedRatioSampler: data set {sizes.index(0)} has no samples')
    return sizes


def _shares(batch_size: int, ratio: Sequence[float], number: int) -> list[int]:
    """How many samples of each data set a batch has."""
    is_list = isinstance(ratio, Sequence) and not isinstance(ratio, str)
    if not is_list or len(ratio) != number or not all(isinstance(r, (int, float)) and r > 0 for r in ratio):
        raise ValueError(f'FixedRatioSampler.source_ratio: {number} numbers above 0 were expected, got {ratio!r}')
    if not isinstance(batch_size, int) or batch_size < number:
        raise ValueError(
            f'FixedRatioSampler.batch_size: at least one sample of each of the {number} data sets was expected, got '
            f'{batch_size!r}'
        )
    shares = [max(1, int(batch_size * r / sum(ratio))) for r in ratio]
    shares[0] += max(batch_size - sum(shares), 0)  # the first gets the rest, as in mmdet
    while sum(shares) > batch_size:  # where a share was raised to one
        shares[shares.index(max(shares))] -= 1
    return shares
