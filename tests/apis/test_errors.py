"""How a tool ends: what it removes, and in how many lines it says why."""

import errno
import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import HOOKS
from mmengine.config import Config

from mmkd.apis.errors import leaves_nothing_behind, run_tool, user_errors
from mmkd.utils.errors import RunError, UserError


def a_run_in(folder):
    """What mmengine makes before it builds the model."""
    from mmengine.logging import MMLogger

    dated = Path(folder) / '20300101_000000'
    (dated / 'vis_data').mkdir(parents=True)
    for path in (dated / 'vis_data/config.py', Path(folder) / 'tiny.py'):
        path.write_text('model = 1\n')
    return MMLogger.get_instance('refused', logger_name='refused', log_file=str(dated / '20300101_000000.log'))


def refused(folder, meanwhile=lambda: None):
    """A run that ends in a UserError, with something else going on in between."""
    with pytest.raises(UserError), leaves_nothing_behind(folder):
        a_run_in(folder)
        meanwhile()
        raise UserError('a typing error')


def test_a_refused_run_leaves_nothing_of_its_own(tmp_path):
    refused(tmp_path / 'work_dirs/tiny')
    assert list(tmp_path.iterdir()) == []


def test_another_run_that_began_meanwhile_in_the_same_new_folder_keeps_everything(tmp_path):
    """Two runs in a fresh clone, of which one has a typing error."""
    other = tmp_path / 'work_dirs/other'

    def train():
        (other / '20300101_000001').mkdir(parents=True)
        (other / 'epoch_1.pth').write_bytes(b'hours of work')

    refused(tmp_path / 'work_dirs/tiny', train)
    assert (other / 'epoch_1.pth').read_bytes() == b'hours of work'
    assert (other / '20300101_000001').is_dir()
    assert not (tmp_path / 'work_dirs/tiny').exists()


def test_a_refused_test_keeps_what_a_training_writes_into_the_same_work_dir(tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()

    def train():
        (work_dir / 'iter_2.pth').write_bytes(b'weights')
        (work_dir / 'last_checkpoint').write_text('iter_2.pth')
        (work_dir / 'notes.py').write_text('mine = 1\n')

    refused(work_dir, train)
    assert sorted(path.name for path in work_dir.iterdir()) == ['iter_2.pth', 'last_checkpoint', 'notes.py']


def test_a_dated_folder_in_which_there_is_more_than_a_log_stays(tmp_path):
    """Another run began in the same second, or this one has come as far as to log losses."""
    losses = tmp_path / 'run/20300101_000000/vis_data/scalars.json'
    refused(tmp_path / 'run', lambda: losses.write_text('{"loss": 1.0}'))
    assert losses.is_file()


def test_what_was_there_before_stays(tmp_path):
    (tmp_path / 'run/20290101_000000').mkdir(parents=True)
    (tmp_path / 'run/old.py').write_text('model = 1\n')
    refused(tmp_path / 'run')
    assert sorted(path.name for path in (tmp_path / 'run').iterdir()) == ['20290101_000000', 'old.py']


def test_a_name_of_several_libraries_is_answered_with_its_prefix():
    cfg = Config(dict(custom_hooks=[dict(type='StopDistillHook', stop_epoch=1)]))
    with pytest.raises(UserError) as error, user_errors('building the run', cfg):
        HOOKS.build(cfg.custom_hooks[0])
    assert 'custom_hooks.0.type: StopDistillHook is not in the' in str(error.value)
    assert 'mmkd.StopDistillHook means that of mmkd' in str(error.value)
    with pytest.raises(UserError) as error, user_errors('building the run', cfg):
        HOOKS.build(dict(type='NoSuchHook'))
    assert 'several libraries' not in str(error.value)


@pytest.mark.parametrize(
    'error',
    [
        OSError(errno.ENOSPC, 'No space left on device'),
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_an_error_of_the_machine_while_building_is_no_mistake_of_the_user_and_removes_nothing(tmp_path, error):
    with pytest.raises(RunError, match='building the run: '), leaves_nothing_behind(tmp_path / 'run'):
        a_run_in(tmp_path / 'run')
        with user_errors('building the run'):
            raise error
    assert (tmp_path / 'run/20300101_000000/20300101_000000.log').is_file()


@pytest.mark.parametrize(
    'error, code, line',
    [
        (UserError('data_root: missing'), 2, 'error: data_root: missing'),
        (RunError('iteration 7: loss is not finite'), 1, 'error: iteration 7: loss is not finite'),
        (OSError(errno.ENOSPC, 'No space left on device', 'run/iter_2.pth'), 1, 'error: run/iter_2.pth: No space left'),
        (MemoryError(), 1, 'error: out of memory: MemoryError'),
    ],
)
def test_an_error_ends_in_one_line_and_a_code(error, code, line, capsys, monkeypatch):
    monkeypatch.delenv('MMKD_TRACEBACK', raising=False)

    def main():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_tool(main)
    assert ended.value.code == code
    shown = capsys.readouterr().err
    assert shown.startswith(line) and shown.count('\n') == 1


def test_other_exceptions_keep_their_traceback():
    def main():
        raise OSError(errno.ENOENT, 'No such file or directory', 'x.json')

    with pytest.raises(FileNotFoundError):
        run_tool(main)


def test_another_rank_than_the_first_tells_the_launcher_and_does_not_print(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr('mmkd.apis.errors.PATIENCE', 0)
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(tmp_path / 'error.json'))

    def main():
        raise UserError('data_root: missing on this machine')

    with pytest.raises(SystemExit):
        run_tool(main)
    assert capsys.readouterr().err == ''
    assert json.loads((tmp_path / 'error.json').read_text())['message'] == 'data_root: missing on this machine'


def test_under_slurm_only_the_first_of_the_processes_shows_an_error(tmp_path, capsys, monkeypatch):
    from mmkd.apis.config import load_config

    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.setenv('LOCAL_RANK', '0')
    config = SimpleNamespace(config=str(tmp_path / 'none.py'), launcher='slurm', local_rank=0, cfg_options=None)
    for process, shown in (('1', ''), ('0', 'error: config: ')):
        monkeypatch.setenv('SLURM_PROCID', process)
        with pytest.raises(SystemExit):
            run_tool(lambda: load_config(config))
        said = capsys.readouterr().err
        assert said.startswith(shown) and bool(said) == bool(shown)
        assert os.environ.pop('RANK') == process


@pytest.fixture(autouse=True)
def logs_are_closed():
    yield
    for handler in logging.getLogger('refused').handlers:
        handler.close()
