"""The mmkd command: a table of subcommands, equal to the tools."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

import mmkd
from mmkd.apis import cli

COMMANDS = Path(cli.__file__).parent / 'commands'
TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs ``mmkd`` with arguments; returns its exit code and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['mmkd', *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, ''.join(capsys.readouterr())

    return run


def test_every_module_of_commands_is_in_the_table_with_all_that_it_needs():
    assert {path.stem for path in COMMANDS.glob('*.py')} - {'__init__'} == set(cli.COMMANDS)
    for name in cli.COMMANDS:
        module = import_module(f'mmkd.apis.commands.{name}')
        assert module.__doc__ and '\n' not in module.HELP and callable(module.add_arguments) and callable(module.run)


def test_without_a_command_the_table_is_shown(command):
    code, said = command()
    assert code == 0
    assert all(f'  {name} ' in said for name in cli.COMMANDS)
    assert command('--help') == (code, said)


def test_an_unknown_command_is_answered_with_those_there_are(command):
    code, said = command('trian', 'config.py')
    assert code == 2 and "invalid choice: 'trian' (choose from" in said and 'train' in said


def test_the_version_is_that_of_the_package(command):
    assert command('--version') == (0, f'mmkd {mmkd.__version__}\n')


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_of_a_command_names_it_and_says_what_it_does(name, command):
    code, said = command(name, '--help')
    assert code == 0
    assert said.startswith(f'usage: mmkd {name} ')
    assert import_module(f'mmkd.apis.commands.{name}').__doc__.splitlines()[0][:60] in said


def test_a_mistake_of_the_user_is_one_line(command):
    code, said = command('train', 'no.py')
    assert code == 2 and said.startswith("error: config: 'no.py' is not a file") and said.count('\n') == 1


@pytest.mark.parametrize('name', [name for name in cli.COMMANDS if (TOOLS / f'{name}.py').exists()])
def test_a_tool_of_a_commands_name_does_nothing_but_call_it(name):
    assert f"\n    main('{name}')\n" in (TOOLS / f'{name}.py').read_text()
    assert len((TOOLS / f'{name}.py').read_text().splitlines()) < 8
