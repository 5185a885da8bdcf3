"""The augmentation of a sample depends on its place in the run, and on nothing else."""

import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, Dataset

from mmkd.datasets import SeededSampler


class Augmented(Dataset):
    """Samples with a random number of each generator that a pipeline may draw from."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(()).item()


def loader(sampler='InfiniteSampler', workers=0, seed=3, **options):
    config = dict(type='mmkd.SeededSampler', sampler=dict(type=sampler, shuffle=True), draw_seed=seed)
    config = dict(dataset=Augmented(), sampler=config, batch_size=2, num_workers=workers, **options)
    return Runner.build_dataloader(config, seed=seed)


def samples(batches):
    """Of each sample its index and numbers."""
    return [sample for batch in batches for sample in zip(*batch, strict=True)]


def first(loader, number):
    batches = iter(loader)
    return samples(next(batches) for _ in range(number))


@pytest.mark.parametrize('workers', [1, 2])
def test_any_number_of_workers_draws_the_same(workers):
    assert first(loader(workers=workers), 6) == first(loader(), 6)


def test_what_was_drawn_before_does_not_matter():
    expected = first(loader(), 3)
    random.random(), np.random.rand(5), torch.rand(5)
    assert first(loader(), 3) == expected


def test_each_sample_of_each_pass_is_another():
    drawn = first(loader(), 9)  # three passes
    for position in (1, 2, 3):
        assert len({sample[position] for sample in drawn}) == len(drawn)


def test_seeds_and_ranks_draw_differently(monkeypatch):
    one = first(loader(), 3)
    assert {sample[1] for sample in one}.isdisjoint(sample[1] for sample in first(loader(seed=4), 3))
    monkeypatch.setattr('mmkd.datasets.seeded_sampler.get_rank', lambda: 1)
    other = first(loader(), 3)
    assert [sample[0] for sample in one] == [sample[0] for sample in other]  # the same images, as far as this goes
    assert {sample[1] for sample in one}.isdisjoint(sample[1] for sample in other)


@pytest.mark.skipif(not hasattr(InfiniteSampler, 'skip'), reason='mmengine 0.10.7 loads and drops what has been seen')
def test_what_is_skipped_counts():
    """mmengine's fast way to resume: the sampler leaves out what has been seen."""
    expected = first(loader(), 9)
    resumed = loader()
    resumed.sampler.skip(8)
    assert first(resumed, 5) == expected[8:]


def test_an_epoch_can_be_begun_anywhere():
    config = dict(sampler='DefaultSampler', persistent_workers=False)
    whole = loader(**config)
    epochs = []
    for epoch in range(3):
        whole.sampler.set_epoch(epoch)
        epochs.append(samples(whole))
    resumed = loader(**config)
    resumed.sampler.set_epoch(2)
    assert samples(resumed) == epochs[2]
    assert {sample[1] for sample in epochs[0]}.isdisjoint(sample[1] for sample in epochs[1])


def test_it_looks_like_the_sampler_within():
    dataset = Augmented()
    inner = DefaultSampler(dataset, shuffle=False, seed=1)
    sampler = SeededSampler(dataset, inner, draw_seed=0)
    assert len(sampler) == 6 and sampler.dataset is dataset and sampler.seed == 1
    infinite = InfiniteSampler(dataset)
    assert not hasattr(sampler, 'skip')
    assert hasattr(SeededSampler(dataset, infinite, 0), 'skip') == hasattr(infinite, 'skip')
    assert list(sampler) == list(inner) == list(range(6))
    assert list(BatchSampler(sampler, 4, drop_last=False)) == [[0, 1, 2, 3], [4, 5]]


def test_it_goes_to_processes_that_are_not_forked():
    dataset = Augmented()
    sampler = SeededSampler(dataset, DefaultSampler(dataset, seed=1), draw_seed=0)
    draws = list(sampler)[:2]
    copied, dataset = pickle.loads(pickle.dumps((draws, dataset)))
    assert [d.key for d in copied] == [(0, 0, 0, 0), (0, 0, 0, 1)]
    assert dataset.__getitems__(copied) == sampler.dataset.__getitems__(draws)


def test_mmdets_batches_of_one_aspect_ratio_are_numbered_too():
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    dataset = Augmented()
    dataset.get_data_info = lambda index: dict(width=1 + index % 2, height=1.5)
    sampler = SeededSampler(dataset, DefaultSampler(dataset, shuffle=False, seed=1), draw_seed=0)
    batches = list(AspectRatioBatchSampler(sampler, 2))
    assert batches == [[0, 2], [1, 3], [4, 5]]
    assert [[draw.key[-1] for draw in batch] for batch in batches] == batches


def views(sampler='DefaultSampler', epochs=(0,), number=3, **options):
    """Of each sample its index and numbers, with two views of each; ``number`` batches of each epoch."""
    config = dict(type='mmkd.SeededSampler', sampler=dict(type=sampler, shuffle=True), draw_seed=0, views=2, **options)
    loading = Runner.build_dataloader(dict(dataset=Augmented(), sampler=config, batch_size=2, num_workers=0), seed=0)
    found = []
    for epoch in epochs:
        loading.sampler.set_epoch(epoch)
        found.append(first(loading, number))
    return found


def test_a_sample_comes_in_so_many_views_and_no_more():
    epochs = [{index: numbers for index, *numbers in epoch} for epoch in views(epochs=(0, 1, 2, 3))]
    assert epochs[0] == epochs[2] != epochs[1] == epochs[3]
    assert all(epochs[0][index] != epochs[1][index] for index in range(6))


def test_views_are_the_same_in_every_run_and_on_every_rank(monkeypatch):
    (expected,) = views()
    monkeypatch.setattr('mmkd.datasets.seeded_sampler.get_rank', lambda: 1)
    (other,) = views()
    assert sorted(other) == sorted(expected)


def test_without_epochs_a_view_lasts_one_pass():
    (drawn,) = views('InfiniteSampler', number=12)  # four passes over six samples
    assert sorted(drawn[:6]) == sorted(drawn[12:18]) and sorted(drawn[6:12]) == sorted(drawn[18:])
    assert sorted(drawn[:6]) != sorted(drawn[6:12])
