"""The student's own file beside every checkpoint."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.distillation_runs import run_config, train
from mmengine.config import Config

from mmkd.distillation.teacher.network import build_network
from mmkd.engine.hooks.student_checkpoint_hook import student_run_config
from mmkd.utils.checkpoint import load_checkpoint_file

STUDENT = 'architecture.'


def load(path):
    """As anyone may: nothing but tensors and plain values in it."""
    return torch.load(path, weights_only=True)


def names(folder):
    return sorted(path.name for path in Path(folder).glob('*.pth'))


def test_every_checkpoint_has_a_student_beside_it_and_nothing_else_is_left(teacher, monkeypatch):
    def fail(path):
        raise AssertionError(f'{path} was read back')

    monkeypatch.setattr('mmkd.engine.hooks.student_checkpoint_hook.load_checkpoint_file', fail)
    best = dict(default_hooks=dict(checkpoint=dict(save_best='acc', rule='greater')))
    train(run_config('run', teacher, **best))
    written = names('run')
    checkpoints = [name for name in written if not name.endswith('_student.pth')]
    assert len([name for name in checkpoints if name.startswith('best_acc')]) == 1
    assert 'epoch_1.pth' in checkpoints and 'epoch_2.pth' in checkpoints
    assert written == sorted(checkpoints + [name.replace('.pth', '_student.pth') for name in checkpoints])
    assert not list(Path('run').glob('*.part'))


def test_the_student_file_loads_strictly_into_the_plain_student_that_it_describes(teacher):
    runner = train(run_config('run', teacher))
    checkpoint = load('run/epoch_2_student.pth')
    assert checkpoint['meta']['epoch'] == 2
    assert checkpoint['meta']['dataset_meta']['classes'] == ('a', 'b', 'c')
    config = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    student = build_network(config.model)
    student.load_state_dict(checkpoint['state_dict'], strict=True)
    for key, value in student.state_dict().items():
        assert torch.equal(value, runner.model.student.state_dict()[key])
    text = config.pretty_text
    assert not any(word in text for word in ('DenseDistill', 'teacher', 'StudentCheckpointHook'))


def test_the_student_file_holds_the_averaged_weights_with_ema(teacher):
    train(run_config('run', teacher, custom_hooks=[dict(type='EMAHook', momentum=0.5)]))
    full = load_checkpoint_file('run/epoch_2.pth')
    student = load('run/epoch_2_student.pth')['state_dict']
    key = 'backbone.conv.weight'
    averaged, trained = full['state_dict'][STUDENT + key], full['ema_state_dict']['module.' + STUDENT + key]
    assert torch.equal(student[key], averaged)
    assert not torch.equal(averaged, trained)


def test_students_of_removed_checkpoints_are_removed_and_others_are_not(teacher):
    Path('run').mkdir()
    Path('run/mine_student.pth').write_bytes(b'')  # not of this run
    keep = dict(default_hooks=dict(checkpoint=dict(max_keep_ckpts=1)))
    train(run_config('run', teacher, epochs=3, **keep))
    assert names('run') == ['epoch_3.pth', 'epoch_3_student.pth', 'mine_student.pth']


def test_a_resumed_run_goes_on_removing(teacher):
    keep = dict(default_hooks=dict(checkpoint=dict(max_keep_ckpts=1)))
    train(run_config('run', teacher, epochs=1, **keep))
    train(run_config('run', teacher, epochs=2, resume=True, **keep))
    assert names('run') == ['epoch_2.pth', 'epoch_2_student.pth']


def test_a_student_whose_checkpoint_the_user_removed_is_kept(teacher):
    config = run_config('run', teacher, epochs=1)
    train(config)
    Path('run/epoch_1.pth').rename('elsewhere.pth')
    train(run_config('run', teacher, epochs=2, resume=True, load_from='elsewhere.pth'))
    assert 'epoch_1_student.pth' in names('run')


def test_a_run_without_distillation_is_left_alone(teacher):
    config = run_config('run', teacher, epochs=1)
    config.model = config.model.student
    train(config)
    assert names('run') == ['epoch_1.pth']
    assert student_run_config(config) is config


def test_an_interrupted_write_leaves_the_file_that_was_there(teacher, monkeypatch):
    replace = os.replace

    def fails(source, target):
        if str(target).endswith('_student.pth'):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr('mmkd.utils.files.os.replace', fails)
    Path('run').mkdir()
    Path('run/epoch_1_student.pth').write_bytes(b'before')
    with pytest.raises(OSError, match='No space left on device, it was not written.*epoch_1_student.pth'):
        train(run_config('run', teacher, epochs=1))
    assert Path('run/epoch_1_student.pth').read_bytes() == b'before'
    assert not list(Path('run').glob('*.part'))


def test_loading_the_student_imports_no_distillation(teacher):
    train(run_config('run', teacher, epochs=1))
    code = (
        'import sys, torch\n'
        'torch.load("run/epoch_1_student.pth", weights_only=True)\n'
        'assert not [name for name in sys.modules if name.startswith(("mmkd", "mmrazor"))]\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
