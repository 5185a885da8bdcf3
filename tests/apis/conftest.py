"""Commands are run in this process: an interpreter of its own would spend ten seconds on imports."""

import sys

import pytest

from mmkd.apis import cli


@pytest.fixture
def mmkd_prints(monkeypatch, capsys):
    """Runs ``mmkd`` with arguments; returns what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mmkd', *arguments])
        cli.main()
        return capsys.readouterr().out

    return run
