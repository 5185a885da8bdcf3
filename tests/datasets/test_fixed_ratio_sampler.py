"""Batches with the same number of samples of each data set, on every process."""

import itertools

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.runner import Runner

import mmkd.datasets  # noqa: F401
from mmkd.datasets import FixedRatioSampler
from mmkd.registry import DATA_SAMPLERS, DATASETS


@DATASETS.register_module()
class Numbers(BaseDataset):
    METAINFO = dict(classes=('a',))

    def __init__(self, start=0, number=6):
        self.start, self.number = start, number
        super().__init__(serialize_data=False)  # which collects garbage, for most of a second

    def load_data_list(self):
        return [dict(value=self.start + i) for i in range(self.number)]

    def __getitem__(self, index):
        return torch.tensor(self.get_data_info(index)['value'])


def both(first=6, second=5):
    return ConcatDataset([Numbers(0, first), Numbers(100, second)])


def sampler(data=None, rank=0, ranks=1, monkeypatch=None, **options):
    if monkeypatch is not None:
        monkeypatch.setattr('mmkd.datasets.fixed_ratio_sampler.get_dist_info', lambda: (rank, ranks))
    options = {**dict(batch_size=4, source_ratio=[1, 1], seed=0), **options}
    return FixedRatioSampler(both() if data is None else data, **options)


def batches(of, size=4, number=None):
    order = iter(of) if number is None else itertools.islice(of, size * number)
    found = []
    while batch := list(itertools.islice(order, size)):
        found.append(batch)
    return found


def of_second(batch, first=6):
    return sum(index >= first for index in batch)


@pytest.mark.parametrize('ratio, second', [([1, 1], 2), ([1, 3], 3), ([3, 1], 1), ([1, 2], 2), ([1, 100], 3)])
@pytest.mark.parametrize('infinite', [False, True])
def test_each_batch_has_the_ratio(ratio, second, infinite):
    found = batches(sampler(source_ratio=ratio, infinite=infinite), number=20 if infinite else None)
    assert len(found) == 20 if infinite else -(-6 // (4 - second))
    assert {of_second(batch) for batch in found} == {second}
    assert {len(batch) for batch in found} == {4}


@pytest.mark.parametrize('infinite', [False, True])
def test_the_batches_of_all_processes_are_alike_and_share_the_data(monkeypatch, infinite):
    found = []
    for rank in range(2):
        one = sampler(both(8, 8), rank=rank, ranks=2, monkeypatch=monkeypatch, infinite=infinite)
        found.append(batches(one, number=2 if infinite else None))
    assert [[of_second(batch, 8) for batch in rank] for rank in found] == [[2, 2]] * 2
    assert sorted(itertools.chain(*itertools.chain(*found))) == list(range(16))  # each sample once


def test_an_epoch_is_one_pass_over_the_first_data_set():
    one = sampler(both(6, 50))
    seen = []
    for epoch in range(8):
        one.set_epoch(epoch)
        found = batches(one)
        assert len(one) == 12 and len(found) == 3
        assert sorted(index for batch in found for index in batch if index < 6) == list(range(6))
        seen.append([index for batch in found for index in batch if index >= 6])
        assert len(set(seen[-1])) == 6
    assert len(set(itertools.chain(*seen))) > 25  # others of the second in each epoch


def test_epochs_differ_and_are_repeated_by_a_resumed_run():
    one = sampler()
    epochs = []
    for epoch in (0, 1, 2):
        one.set_epoch(epoch)
        epochs.append(list(one))
    assert epochs[0] != epochs[1] != epochs[2]
    resumed = sampler()
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2]


def test_a_data_set_that_is_smaller_than_its_share_is_repeated():
    found = batches(sampler(both(6, 1), source_ratio=[1, 1]))
    assert {of_second(batch) for batch in found} == {2}


def test_an_infinite_one_skips_what_a_resumed_run_has_seen():
    whole = list(itertools.islice(sampler(infinite=True), 40))
    resumed = sampler(infinite=True)
    resumed.skip(16)
    assert list(itertools.islice(resumed, 24)) == whole[16:]
    assert not hasattr(sampler(), 'skip')  # mmengine would use it for an epoch, which it does not know


def test_without_shuffling_samples_come_in_order():
    assert batches(sampler(shuffle=False))[0] == [0, 1, 6, 7]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(data=Numbers()), 'FixedRatioSampler: a ConcatDataset was expected, got Numbers'),
        (dict(source_ratio=[1]), r'FixedRatioSampler.source_ratio: 2 numbers .*got \[1\]'),
        (dict(source_ratio=[1, 0]), 'FixedRatioSampler.source_ratio: 2 numbers above 0'),
        (dict(source_ratio='1:1'), "FixedRatioSampler.source_ratio: 2 numbers above 0 .*got '1:1'"),
        (dict(batch_size=1), 'FixedRatioSampler.batch_size: at least one sample of each of the 2 data sets .*got 1'),
        (dict(batch_size=None), 'FixedRatioSampler.batch_size: .*got None'),
        (dict(data=torch.utils.data.ConcatDataset([[1, 2], []])), 'FixedRatioSampler: data set 1 has no samples'),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sampler(**options)


def test_it_is_built_from_a_config_with_the_batch_size_of_the_loader():
    parts = [dict(type='mmkd.Numbers'), dict(type='mmkd.Numbers', start=100)]
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=0,
            dataset=dict(type='ConcatDataset', datasets=parts),
            sampler=dict(type='mmkd.FixedRatioSampler', batch_size=4, source_ratio=[1, 3]),
            collate_fn=dict(type='pseudo_collate'),
        ),
        seed=0,
    )
    assert DATA_SAMPLERS.get('mmkd.FixedRatioSampler') is FixedRatioSampler
    assert [sum(int(value) >= 100 for value in batch) for batch in loader] == [3] * 6
