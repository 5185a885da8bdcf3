"""Every link, command and config of every page works, from the page's own text and an installed copy of mmkd."""

import os
import re
import shutil
import sys

import pytest
from helpers.pages import PAGES, ROOT, blocks, commands, config_blocks, links, name_of

# A user without data or weights gets one line for each file that is not there.
NOT_THERE = re.compile(
    r"error: .*('?\S+'? (does not exist|is not a file|is not a folder|no folder \w+ in it)"
    r"|No such file or directory: '\S+'"
    r'|\w+ needs \w+: pip install "mmkd\[\w+\]")'
)
with_commands = [page for page in PAGES if blocks(page, 'bash', 'shell')]
with_configs = [page for page in PAGES if config_blocks(page)]


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_files_named_in_the_text_exist(page):
    text = re.sub(r'\]\([^)]*\)', ']', page.read_text())
    named = set(
        re.findall(r'(?<![\w/.$-])(?:configs|tools|mmkd|docs|tests|projects)/[\w./-]+\.(?:py|sh|md|yml)\b', text)
    )
    named = {name for name in named if not name.split('/')[-1].startswith('my_')}  # the reader's own
    assert [name for name in sorted(named) if not ((ROOT / name).is_file() or (page.parent / name).is_file())] == []


@pytest.fixture
def folder(installed, tmp_path):
    """An empty folder but for the installed tools and configs, and the projects: with data the commands would train."""
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(installed.site / 'mmkd/.mim' / name)
    shutil.copytree(ROOT / 'projects', tmp_path / 'projects')
    return tmp_path


def check(command, installed, folder):
    if command.program == 'make':
        targets = re.findall(r'(?m)^([\w-]+):', (ROOT / 'Makefile').read_text())
        assert [word for word in command.arguments if '=' not in word and word not in targets] == []
    if command.program not in ('python', 'mmkd'):
        return
    arguments = list(command.arguments)
    if command.program == 'mmkd':
        arguments.insert(0, str(installed.site / 'mmkd/__main__.py'))
    if arguments[0] == '-m':  # a launcher, and what it starts on each rank
        start = next(i for i, word in enumerate(arguments) if word.endswith('.py'))
        arguments = [word for word in arguments[start:] if word not in ('--launcher', 'pytorch')]
        if arguments[0].startswith('/'):
            arguments[0] = os.path.relpath(arguments[0], command.cwd)
    for word in arguments:
        if re.match(r'(\./)?(configs|tools|projects)/.*\.py$', word):
            assert (command.cwd / word).is_file(), f'{word} does not exist: {arguments}'
    done = installed.server.run(arguments, command.cwd, command.environment)
    lines = [line for line in done.output.splitlines() if line.startswith('error: ')]
    fit = done.code == 0 or (done.code == 2 and lines and all(NOT_THERE.match(line) for line in lines))
    assert fit, f'{arguments}: exit code {done.code}\n{done.output[-2000:]}'


@pytest.mark.slow
@pytest.mark.parametrize('page', with_commands, ids=name_of)
def test_commands_run_or_say_what_is_missing(page, installed, folder, tmp_path_factory):
    stubs = tmp_path_factory.mktemp('stubs')
    found = []
    for text in blocks(page, 'bash', 'shell'):
        found += commands(text, folder, stubs, sys.executable, installed.environment)
    assert found
    for command in found:
        check(command, installed, folder)
