"""Starting several processes, and what is said when one of them fails."""

import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mmkd.apis import dist_run, launch
from mmkd.utils.errors import UserError


def failure(exitcode, timestamp=1, message=None):
    data = None if message is None else dict(message=message)
    return SimpleNamespace(exitcode=exitcode, timestamp=timestamp, error_file_data=data)


@pytest.fixture
def report(monkeypatch, capsys):
    """Runs the launcher with processes that fail in a given way; returns its exit code and all that it says."""

    def run(failures):
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        class Failed(ChildFailedError):
            def __init__(self):
                self.failures = failures

        def fail(options):
            raise Failed

        monkeypatch.setattr('torch.distributed.run.run', fail)
        return dist_run.main(['2', 'train.py', 'config.py']), capsys.readouterr().err

    return run


def test_an_error_that_rank_0_has_shown_is_not_repeated(report):
    assert report({0: failure(2, 2, 'data_root: missing'), 1: failure(2, 1, 'data_root: missing')}) == (2, '')


def test_an_error_of_another_rank_alone_is_shown(report):
    both = {1: failure(2, 1, 'data_root: missing'), 0: failure(-signal.SIGTERM, 2)}
    assert report(both) == (2, 'error: rank 1: data_root: missing\n')


def test_a_process_that_was_killed_is_named_and_not_the_one_that_lost_it(report):
    code, said = report({0: failure(1, 1, 'another process of the run has ended'), 1: failure(-signal.SIGKILL, 1)})
    assert code == 1 and said.startswith('error: rank 1 was killed by SIGKILL (often by the system, when memory')
    assert said.endswith('--resume goes on from the last checkpoint\n')


def test_an_exception_with_its_traceback_needs_no_more_words(report):
    assert report({1: failure(1, 1)}) == (1, '')


def test_options_come_from_the_environment(monkeypatch):
    monkeypatch.setattr('torch.distributed.run.run', lambda options: given.append(options))
    given = []
    for name, value in dict(NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1', PORT='1234').items():
        monkeypatch.setenv(name, value)
    assert dist_run.main(['4', 'train.py', 'config.py', '--resume']) == 0
    (options,) = given
    assert (options.nnodes, options.node_rank, options.master_addr, options.master_port) == ('2', 1, '10.0.0.1', 1234)
    assert options.nproc_per_node == '4' and options.training_script == 'train.py'
    assert options.training_script_args == ['config.py', '--resume']
    monkeypatch.delenv('PORT')
    assert dist_run._default_port() == 29500  # on which all machines agree
    monkeypatch.setenv('NNODES', '1')
    with socket.socket() as usable:
        usable.bind(('127.0.0.1', dist_run._default_port()))


def test_a_module_is_started_too_so_that_no_checkout_is_needed(monkeypatch):
    monkeypatch.setattr('torch.distributed.run.run', lambda options: given.append(options))
    given = []
    assert dist_run.main(['2', '-m', 'mmkd', 'train', 'config.py', '--launcher', 'pytorch']) == 0
    (options,) = given
    assert options.module and options.training_script == 'mmkd'
    assert options.training_script_args == ['train', 'config.py', '--launcher', 'pytorch']


def test_a_port_in_use_is_one_line():
    with socket.socket() as busy:
        busy.bind(('127.0.0.1', 0))
        busy.listen()
        environment = {**os.environ, 'PORT': str(busy.getsockname()[1])}
        command = [sys.executable, '-m', 'mmkd.apis.dist_run', '1', 'train.py']
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    assert (
        done.stderr.splitlines()[-1] == f'error: PORT: {environment["PORT"]} is in use on this machine; choose another'
    )


def test_a_process_that_dies_ends_the_job_and_is_named(tmp_path):
    script = tmp_path / 'dies.py'
    script.write_text('import os, time\nif os.environ["RANK"] == "1":\n    os.kill(os.getpid(), 9)\ntime.sleep(100)\n')
    command = [sys.executable, '-m', 'mmkd.apis.dist_run', '2', str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # a dead rank ends the job
    assert done.returncode == 1 and 'Traceback' not in done.stderr and 'Root Cause' not in done.stderr
    assert done.stderr.splitlines()[-1].startswith('error: rank 1 was killed by SIGKILL')


@pytest.mark.parametrize(
    'launcher, missing, remedy',
    [
        ('pytorch', 'RANK', 'torchrun'),
        ('slurm', 'SLURM_PROCID', 'srun'),
        ('mpi', 'OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun'),
    ],
)
def test_a_launcher_without_its_variables_is_named_with_the_first_of_them(monkeypatch, launcher, missing, remedy):
    for name in launch.LAUNCHER_VARIABLES[launcher]:
        monkeypatch.setenv(name, '1')
    monkeypatch.delenv(missing)
    message = f'--launcher {launcher}: the environment variable {missing} is missing; start it through {remedy}'
    with pytest.raises(UserError, match=message):
        launch.prepare_launch(dict_config(launcher))


def test_a_process_without_a_gpu_is_named(monkeypatch):
    for name in launch.LAUNCHER_VARIABLES['pytorch']:
        monkeypatch.setenv(name, '2')
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 2)
    with pytest.raises(UserError, match='process 2 of this machine has no GPU, 2 are visible'):
        launch.prepare_launch(dict_config('pytorch'))


def dict_config(launcher):
    from mmengine.config import Config

    return Config(dict(launcher=launcher))
