"""In which order a checkpoint is saved, and what is left when that ends in the middle."""

import errno
from pathlib import Path

import pytest
import torch
from helpers.distillation_runs import ToyScore, run_config, train
from helpers.resumable_runs import differences, resumable, state_of
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook

from mmkd.engine import DurableCheckpointHook
from mmkd.utils import files
from mmkd.utils.checkpoint import load_checkpoint_file


@pytest.fixture
def events(monkeypatch):
    """What happens to files, in order; ``events.fail_at`` is the number of the event before which the run ends."""
    return Events(monkeypatch)


class Killed(BaseException):
    """Not an Exception, so that nobody handles it."""


class Events(list):
    def __init__(self, monkeypatch):
        super().__init__()
        self.fail_at = None
        replace, remove = files.os.replace, LocalBackend.remove
        monkeypatch.setattr(files.os, 'replace', lambda a, b: (self.happens('write', b), replace(a, b)))
        monkeypatch.setattr(LocalBackend, 'remove', lambda s, path: (self.happens('remove', path), remove(s, path)))

    def happens(self, what, path):
        if len(self) == self.fail_at:
            raise Killed
        self.append(f'{what} {Path(path).name}')


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth*'))


def test_the_new_one_then_the_pointer_then_the_student_and_the_old_one_goes_last(teacher, events):
    keep = dict(default_hooks=dict(checkpoint=dict(max_keep_ckpts=1)))
    train(run_config('run', teacher, epochs=2, **keep))
    assert events == [
        *('write epoch_1.pth', 'write last_checkpoint', 'write epoch_1_student.pth'),
        *('write epoch_2.pth', 'write last_checkpoint', 'write epoch_2_student.pth'),
        *('remove epoch_1.pth', 'remove epoch_1_student.pth'),
    ]


@pytest.mark.parametrize('length', [2, 3])
def test_a_run_that_ends_between_any_two_of_them_can_be_resumed_and_ends_as_an_unbroken_one(
    tmp_path, monkeypatch, events, length
):
    monkeypatch.chdir(tmp_path)
    train(resumable('whole', length=length))
    expected = state_of(f'whole/iter_{length}.pth')
    for step in range(3, 8):  # all that happens when the second checkpoint is saved
        work_dir = f'killed_before_{step}'
        events.clear()
        events.fail_at = step
        with pytest.raises(Killed):
            train(resumable(work_dir, length=length))
        events.fail_at = None
        train(resumable(work_dir, length=length, resume=True))
        assert differences(state_of(f'{work_dir}/iter_{length}.pth'), expected) == []
        assert names(work_dir) == [f'iter_{length}.pth', f'iter_{length}_student.pth'], work_dir
        student = load_checkpoint_file(f'{work_dir}/iter_{length}_student.pth')['state_dict']
        assert all(torch.equal(value, expected[f'.state_dict.architecture.{key}']) for key, value in student.items())
        assert Path(work_dir, 'last_checkpoint').read_text().endswith(f'iter_{length}.pth')


@pytest.mark.parametrize('kept', [1, -1])
def test_a_full_disk_leaves_the_last_checkpoint_and_nothing_torn(teacher, monkeypatch, kept):
    put = LocalBackend.put

    def full(self, data, path):
        if 'epoch_2' in Path(path).name:
            put(self, data[: len(data) // 2], path)
            raise OSError(errno.ENOSPC, 'No space left on device')
        put(self, data, path)

    monkeypatch.setattr(LocalBackend, 'put', full)
    keep = dict(default_hooks=dict(checkpoint=dict(max_keep_ckpts=kept)))
    with pytest.raises(OSError, match='No space left on device, it was not written') as error:
        train(run_config('run', teacher, epochs=3, **keep))
    assert error.value.errno == errno.ENOSPC and Path(error.value.filename).name == 'epoch_2.pth'
    assert names('run') == ['epoch_1.pth', 'epoch_1_student.pth']
    assert Path('run/last_checkpoint').read_text().endswith('epoch_1.pth')
    monkeypatch.undo()


def test_the_best_one_so_far_goes_after_the_better_one_is_written(teacher, events, monkeypatch):
    best = dict(save_best=['acc', 'loss'], rule=['greater', 'less'], max_keep_ckpts=2)
    scores = iter([dict(acc=1.0, loss=1.0), dict(acc=2.0, loss=1.0), dict(acc=1.5, loss=0.5)])
    monkeypatch.setattr(ToyScore, 'compute_metrics', lambda self, results: next(scores))
    train(run_config('run', teacher, epochs=3, default_hooks=dict(checkpoint=best)))
    for name in ('best_acc_epoch_1.pth', 'best_loss_epoch_1.pth'):
        later = name.replace('1.pth', '2.pth' if 'acc' in name else '3.pth')
        assert events.index(f'write {later}') < events.index(f'remove {name}')
    kept = ['best_acc_epoch_2', 'best_loss_epoch_3', 'epoch_2', 'epoch_3']
    assert names('run') == sorted(f'{name}{end}' for name in kept for end in ('.pth', '_student.pth'))


def test_a_best_one_that_is_written_again_stays(teacher):
    """Where the same epoch is evaluated a second time, and is better."""
    runner = train(
        run_config('run', teacher, epochs=1, default_hooks=dict(checkpoint=dict(save_best='acc', rule='greater')))
    )
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, DurableCheckpointHook))
    hook.after_val_epoch(runner, dict(acc=1e9))
    assert 'best_acc_epoch_1.pth' in names('run')


def test_a_link_is_written_through(tmp_path):
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'disk/state.pth').write_bytes(b'old')
    (tmp_path / 'link.pth').symlink_to(tmp_path / 'disk/state.pth')
    with files.written_whole(tmp_path / 'link.pth') as part:
        part.write_bytes(b'new')
    assert (tmp_path / 'link.pth').is_symlink() and (tmp_path / 'disk/state.pth').read_bytes() == b'new'


def test_a_hook_that_somebody_has_made_of_mmengines_keeps_its_ways(teacher):
    from mmengine.registry import HOOKS

    @HOOKS.register_module(force=True)
    class Special(CheckpointHook):
        pass

    runner = train(run_config('run', teacher, epochs=1, default_hooks=dict(checkpoint=dict(type='Special'))))
    assert any(type(hook) is Special for hook in runner.hooks)
    assert names('run') == ['epoch_1.pth', 'epoch_1_student.pth']
    runner = train(run_config('other', teacher, epochs=1))
    assert any(type(hook) is DurableCheckpointHook for hook in runner.hooks)
