"""Tools are run in this process where possible: a subprocess spends ten seconds on imports."""

import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
TINY = ROOT / 'tests/tools/tiny_fcos.py'


@pytest.fixture
def tiny():
    """The config file of a tiny detector on the real images."""
    return str(TINY)


@pytest.fixture
def tool(capfd, monkeypatch, tmp_path):
    """Runs a tool in a fresh folder as the command line would; returns its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name, *args):
        tool = ROOT / 'tools' / f'{name}.py'
        monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, args)])
        environment = dict(os.environ)
        code = 0
        try:
            runpy.run_path(str(tool), run_name='__main__')
        except SystemExit as exit_:
            code = exit_.code or 0
        finally:
            for key in set(os.environ) - set(environment):
                del os.environ[key]
            _forget_runs()
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def _forget_runs():
    """mmengine keeps loggers and visualizers for a whole process; they hold the streams of the test before."""
    from mmengine.utils import ManagerMixin

    kinds = [ManagerMixin]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        kind._instance_dict.clear()


@pytest.fixture(scope='session')
def trained(tmp_path_factory, server):
    """The work dir of two iterations, by the real command, started from a folder that has nothing to do with mmkd."""
    cwd = tmp_path_factory.mktemp('elsewhere')
    done = server.run([ROOT / 'tools/train.py', TINY], cwd)
    assert done.code == 0, done.output[-3000:]
    return cwd / 'work_dirs' / 'tiny_fcos'
