"""mmkd as a user has it: installed from its wheel."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers.command_server import CommandServer
from helpers.pages import ROOT


@pytest.fixture(scope='session')
def installed(tmp_path_factory):
    """mmkd from its wheel, in a folder that holds what a checkout has beside the package."""
    base = tmp_path_factory.mktemp('installed')
    source = base / 'source'
    ignored = shutil.ignore_patterns('__pycache__', '*.egg-info', '.mim')
    for name in ('mmkd', 'configs', 'tools'):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, source)
    build = f'from setuptools import build_meta; print(build_meta.build_wheel({str(base)!r}))'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    site = base / 'site'
    install = ['-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', str(site)]
    subprocess.run([sys.executable, *install, str(base / done.stdout.splitlines()[-1])], check=True)

    folder = base / 'empty'
    folder.mkdir()
    server = CommandServer(folder, site)
    assert server.package == str(site / 'mmkd')
    yield SimpleNamespace(site=site, server=server, environment={**os.environ, 'PYTHONPATH': str(site)})
    server.close()
