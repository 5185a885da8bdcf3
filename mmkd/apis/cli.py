"""The ``mmkd`` command: a table of subcommands, each a module of :mod:`mmkd.apis.commands`.

Such a module has ``HELP``, one line for the table; ``add_arguments(parser)``; ``run(args)``; and a docstring, which its
own ``--help`` shows. It is imported when it is asked for, and imports what is slow (PyTorch, mmdet) in ``run``, so that
``--help`` answers at once. ``tools/<name>.py`` calls the same.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from types import ModuleType

import mmkd  # makes _base_ = 'mmkd::...' resolve

from .errors import run_tool

__all__ = ['COMMANDS', 'main', 'parser_of']

COMMANDS = (
    'train',
    'test',
    'distill',
    'taps',
    'convert',
    'weights',
    'cache',
    'export',
    'predict',
    'new',
    'compare',
    'curves',
    'report',
    'point_masks',
    'voc_sbd_to_coco',
)


def main(command: str | None = None) -> None:
    """Runs a command with the arguments of this process; its errors end the process as :func:`run_tool` says.

    Args:
        command: One of :data:`COMMANDS`; None if it is the first of the arguments.
    """
    run_tool(lambda: _run(command))


def _run(command: str | None) -> None:
    arguments, program = sys.argv[1:], None  # None stands for the name of the script
    if command is None:
        command, *arguments = _chosen(arguments), *arguments[1:]
        program = f'mmkd {command}'
    _module_of(command).run(parser_of(command, program).parse_args(arguments))


def parser_of(command: str, program: str | None = None) -> argparse.ArgumentParser:
    """The options of a command.

    Args:
        command: One of :data:`COMMANDS`.
        program: What it is called in its help; None for the name of the script.
    """
    module = _module_of(command)
    parser = argparse.ArgumentParser(
        program, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.add_arguments(parser)
    return parser


def _chosen(arguments: list[str]) -> str:
    """The command that the arguments begin with; shows the table of commands where there is none."""
    table = '\n'.join(f'  {name:<15} {_module_of(name).HELP}' for name in COMMANDS)
    parser = argparse.ArgumentParser(
        'mmkd',
        usage='mmkd COMMAND ...',
        description=mmkd.__doc__.splitlines()[0],
        epilog=f'commands:\n{table}\n\nmmkd COMMAND --help tells more of each.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'mmkd {mmkd.__version__}')
    parser.add_argument('command', choices=COMMANDS, metavar='COMMAND', help=argparse.SUPPRESS)
    return parser.parse_args(arguments[:1] or ['--help']).command


def _module_of(command: str) -> ModuleType:
    return import_module(f'{__package__}.commands.{command}')
