"""The files of the cache: what is read of them, and what is not."""

import pytest
import torch
from safetensors.torch import save_file

from mmkd.distillation.teacher.cache import Store
from mmkd.distillation.teacher.cache.store import digest


def entry(seed, dtype=torch.float16):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, generator=generator).to(dtype), torch.randn(2, generator=generator).to(dtype)]


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / 'cache', 'me')
    store.write(dict(a=entry(0), b=entry(1)), 'structure')
    return store


def same(found, expected):
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_what_was_written_is_read_by_another_process(dtype, tmp_path):
    Store(tmp_path, 'me').write(dict(a=entry(0, dtype)), 'structure')
    tensors, structure = Store(tmp_path, 'me').read('a')
    assert same(tensors, entry(0, dtype)) and structure == 'structure'


def test_what_another_process_writes_meanwhile_is_found(store):
    other = Store(store.folder, 'me')
    other.write(dict(c=entry(2)), 'structure')
    assert same(store.read('c')[0], entry(2)) and store.read('d') is None


def test_files_of_another_teacher_are_not_read(store):
    other = Store(store.folder, 'you')
    assert other.read('a') is None and 'another teacher' in next(iter(other.damaged.values()))


def shard(store):
    return next(store.folder.glob('*.safetensors'))


def test_a_file_that_ends_early_is_not_read(store):
    path = shard(store)
    path.write_bytes(path.read_bytes()[:-10])
    fresh = Store(store.folder, 'me')
    assert fresh.read('a') is None and path in fresh.damaged


def test_a_file_that_is_being_written_is_not_read(store):
    shard(store).rename(shard(store).with_name('x.safetensors.part'))
    assert Store(store.folder, 'me').read('a') is None


def test_a_file_of_others_is_not_read(store):
    save_file(dict(a=torch.zeros(1)), store.folder / 'weights.safetensors')
    fresh = Store(store.folder, 'me')
    assert fresh.read('a') is not None and list(fresh.damaged) == [store.folder / 'weights.safetensors']


def test_changed_numbers_are_not_read(store):
    path = shard(store)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    fresh = Store(store.folder, 'me')
    assert [fresh.read('a') is None, fresh.read('b') is None].count(True) >= 1
    assert 'checksum' in fresh.check()[path]


def test_a_process_that_is_killed_leaves_nothing_that_is_read(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmkd.distillation.teacher.cache.store.save_file', killed)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path, 'me').write(dict(a=entry(0)), '')
    assert Store(tmp_path, 'me').read('a') is None and not list(tmp_path.iterdir())


def test_a_digest_knows_values_shapes_and_types():
    x = torch.arange(6.0)
    digests = {digest([x]), digest([x.view(2, 3)]), digest([x.int()]), digest([x + 1e-7]), digest([x], (1, 2))}
    assert len(digests) == 5 and digest([x]) == digest([x.clone()])
