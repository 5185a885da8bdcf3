import pytest
from helpers.command_server import CommandServer
from helpers.distillation_runs import teacher  # noqa: F401


@pytest.fixture(scope='session')
def server(tmp_path_factory):
    """Runs scripts without the seconds that each interpreter takes to import."""
    server = CommandServer(tmp_path_factory.mktemp('server'))
    yield server
    server.close()
