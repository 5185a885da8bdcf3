"""Random augmentation that a resumed run repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.registry import DATA_SAMPLERS as ROOT_SAMPLERS
from torch.utils.data import Dataset, Sampler

from mmkd.registry import DATA_SAMPLERS
from mmkd.utils.seeding import seed_generators

__all__ = ['SeededSampler']


class Draw(int):
    """The index of a sample, which knows what its random numbers are drawn from."""

    key: tuple[int, ...]


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Yields what another sampler does, and has the random numbers of each sample depend on its place in the run.

    The augmentation of a sample is drawn from (seed, rank, epoch, number of the sample). So it is the same with any
    number of workers, differs from epoch to epoch, and a run that is resumed goes on with what it would have drawn.
    (mmengine seeds the generators when a run starts and each worker when an epoch does: a resumed run repeats the
    augmentation of the beginning, and without ``persistent_workers`` each epoch does.)

    With ``views=K`` it is drawn from (index of the sample, number of the view) alone, so that a sample comes in K
    views, the same ones in any run of this pipeline: what a teacher said of one can be kept (``teacher.cache``). The
    view is that of the epoch; where there are no epochs, it changes when as many samples were drawn as there are.

    Transforms that keep samples of their own, like mmdet's ``CachedMosaic``, begin with empty caches when resumed.

    Training with mmkd's tools, or of ``DenseDistill``, puts it around the sampler of the config.

    Args:
        dataset: The data set, which is told to seed the generators before it loads a sample that this sampler yields.
        sampler: The sampler, or its config.
        draw_seed: The seed of the run.
        seed: As given to every sampler by mmengine; goes to ``sampler``.
        views: In how many views each sample comes; None: in another one each time.
    """

    def __init__(
        self,
        dataset: Dataset,
        sampler: Sampler | Mapping,
        draw_seed: int,
        seed: int | None = None,
        views: int | None = None,
    ):
        if isinstance(sampler, Mapping):
            sampler = ROOT_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.sampler = sampler
        self._seed, self._views, self._samples = draw_seed, views, len(dataset)
        self._epoch = 0
        self._number = 0
        # PyTorch's data loader calls this, on an object as on a class, in place of dataset[index]
        dataset.__getitems__ = _SeededLoading(dataset)

    def __iter__(self) -> Iterator[Draw]:
        for index in self.sampler:
            draw = Draw(index)
            draw.key = self._key(index)
            self._number += 1
            yield draw

    def _key(self, index: int) -> tuple[int, ...]:
        if self._views is None:
            return self._seed, get_rank(), self._epoch, self._number
        passes = self._epoch + self._number * get_world_size() // self._samples
        return int(index), passes % self._views

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        if name == 'sampler':  # while it is being copied
            raise AttributeError(name)
        return getattr(self.sampler, name)

    def set_epoch(self, epoch: int) -> None:
        """Begins an epoch."""
        if epoch != self._epoch:
            self._epoch, self._number = epoch, 0
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    @property
    def skip(self) -> Callable[[int], None]:
        """``skip(number)`` leaves out the first samples, where the sampler can do that (mmengine asks it)."""
        skip = self.sampler.skip

        def skip_and_count(number: int) -> None:
            skip(number)
            self._number = number

        return skip_and_count


class _SeededLoading:
    """Loads the samples of a batch, each with generators of its own."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __call__(self, draws: Sequence[int]) -> list:
        return [self._load(draw) for draw in draws]

    def _load(self, draw: int) -> Any:
        if isinstance(draw, Draw):
            seed_generators(*draw.key, accelerator=False)
        return self.dataset[int(draw)]
