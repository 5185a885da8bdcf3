"""The site is built without a warning, and has what is not in docs/: the README, configs, commands, formulas."""

import re
import subprocess
import sys

import pytest
from helpers.pages import ROOT

pytest.importorskip('mkdocs', reason='pip install "mmkd[docs]"')
pytest.importorskip('griffe')
sys.path.insert(0, str(ROOT / 'docs/site'))

from docstrings import markdown_of  # noqa: E402


def test_roles_and_formulas_become_markdown():
    text = 'Sum of :math:`a_i`, see :func:`~mmkd.x.f`::\n\n    f(1)\n\n.. math:: a\n    + b\n\nExample:\n    >>> f(1)'
    found = markdown_of(text)
    assert 'Sum of $a_i$, see `f`:\n' in found and '$$\na\n+ b\n$$' in found
    assert 'Examples:\n    >>> f(1)' in found and ':math:' not in found


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '-d', str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_pages_of_the_repository_are_there(site):
    first = (site / 'index.html').read_text()
    assert 'href="start/install.html"' in first and 'pictures/concepts.svg' in first
    config = (site / 'repository/configs/kd/centermask_v19_from_v99.py.html').read_text()
    assert '_base_' in config
    assert (site / 'repository/configs/kd/structured_kd/index.html').is_file()


@pytest.mark.slow
def test_commands_losses_and_formulas_are_there(site):
    commands = (site / 'reference/cli.html').read_text()
    assert 'mmkd predict' in commands and '--score-thr' in commands
    api = (site / 'reference/api.html').read_text()
    assert 'mmkd.distillation.losses.pair_wise_loss' in api and '<math' in api
    assert not re.search(r':(func|class|math):', api)


@pytest.mark.slow
def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob('*.html'):
        fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert not fetched, (page, fetched)
