"""Converters are run in this process: a subprocess spends ten seconds on imports."""

import runpy
import sys

import pytest
from convert_cases import ROOT
from helpers.golden import golden_keys


@pytest.fixture(scope='session')
def slim_keys():
    return golden_keys('centermask2-lite-V-19-slim-dw-eSE')


@pytest.fixture
def convert(monkeypatch, capsys):
    """Runs the converter as the command line would; returns exit code, output and errors."""

    def run(kind, src, out, config, *options):
        arguments = ['convert.py', src, out, '--from', kind, '--config', config, *options]
        monkeypatch.setattr(sys, 'argv', [str(argument) for argument in arguments])
        code = 0
        try:
            runpy.run_path(str(ROOT / 'tools' / 'convert.py'), run_name='__main__')
        except SystemExit as exit_:
            code = exit_.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
