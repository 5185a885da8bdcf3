"""What holds for every test."""

import os
import sys

import pytest

pytest.register_assert_rewrite('helpers')  # what they assert is shown as what tests assert is
# Configs look for data and weights in no folder of the machine; a test that wants real data asks for the other name.
for name in ('MMKD_DATA', 'MMKD_PRETRAINED'):
    if name in os.environ:
        os.environ[f'TESTS_{name}'] = os.environ.pop(name)


@pytest.fixture(scope='module', autouse=True)
def runs_of_other_modules_are_forgotten():
    """What the fixtures of a module or of the session leave is not carried into the next module."""
    _restore({})
    yield
    _restore({})


@pytest.fixture(autouse=True)
def runs_are_forgotten():
    """Restores mmengine's process-wide default scope, message hubs, loggers and visualizers after each test.

    A run leaves them behind, and the default scope decides which library a name in a config is looked up in: without
    this a test would depend on those before it.
    """
    before = {kind: dict(kind._instance_dict) for kind in _managed_kinds()}
    yield
    _restore(before)


def _restore(instances):
    for kind in _managed_kinds():
        kind._instance_dict.clear()
        kind._instance_dict.update(instances.get(kind, {}))


def _managed_kinds():
    manager = sys.modules.get('mmengine.utils.manager')
    kinds = [manager.ManagerMixin] if manager else []
    for kind in kinds:
        kinds += kind.__subclasses__()
    return kinds


@pytest.fixture(autouse=True)
def config_dumps_are_not_formatted(monkeypatch):
    """mmengine writes the config into each checkpoint and log, and yapf takes seconds to format one."""
    if 'mmengine.config.config' not in sys.modules:
        return

    def unformatted(text, *args, **kwargs):
        return text, True

    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', unformatted)
    monkeypatch.setattr('mmengine.config.config.FormatCode', unformatted, raising=False)


@pytest.fixture(scope='session')
def server(tmp_path_factory):
    """Runs scripts as a user does, without the ten seconds that each interpreter takes to import."""
    from helpers.command_server import CommandServer

    server = CommandServer(tmp_path_factory.mktemp('server'))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def devices_have_no_half_precision(monkeypatch):
    """Tests compare exactly, and alike on every machine; those of a teacher's precision give it what they need."""
    module = sys.modules.get('mmkd.distillation.teacher.frozen_teacher')
    if module is not None:
        monkeypatch.setattr(module, 'native_half', lambda device: None)
