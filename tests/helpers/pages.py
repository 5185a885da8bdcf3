"""The pages a user reads, and what stands in them: links, commands, configs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    {
        *ROOT.glob('*.md'),
        *ROOT.glob('docs/**/*.md'),
        *ROOT.glob('configs/**/README.md'),
        *ROOT.glob('projects/**/README.md'),
    }
)
# Commands that a page may name, kept from running and written down in place of it.
STUBBED = ('python', 'mmkd', 'pip', 'make', 'wget', 'tar', 'torchrun', 'tensorboard', 'srun')
STUB = r"""#!/bin/bash
if [ "$(basename "$0")" = python ] && [ "$1" = -c ]; then exec "$REAL_PYTHON" "$@"; fi
{ printf '%s\x1f' "$(basename "$0")" "$PWD" "$(env | grep ^MMKD_)" "$@"; printf '\x1e'; } >> "$RECORDED"
"""


@dataclass(frozen=True)
class Command:
    """A command as the shell would start it: program, arguments, folder, and what was exported before."""

    program: str
    arguments: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]


def name_of(page: Path) -> str:
    """The page's path below the repository, for test names."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of these languages."""
    found = re.findall(r'^( *)```(\w*)\n(.*?)^ *```', page.read_text(), re.S | re.M)
    return [re.sub(rf'(?m)^{indent}', '', text) for indent, language, text in found if language in languages]


def config_blocks(page: Path) -> list[str]:
    """The configs of a page, whole ones that inherit."""
    return [text for text in blocks(page, 'python') if re.search(r'(?m)^_base_ = ', text)]


def links(page: Path) -> list[str]:
    """What a page links to inside the repository, less the place in the page."""
    text = re.sub(r'```.*?```', '', page.read_text(), flags=re.S)
    targets = re.findall(r'\]\(([^)\s#]+)[^)]*\)', text)
    return [target for target in targets if '://' not in target and not target.startswith('mailto:')]


def commands(text: str, folder: Path, stubs: Path, python: str, environment: Mapping[str, str]) -> list[Command]:
    """Has bash read a block, with loops, variables and continued lines, and returns the commands it came to.

    Raises:
        AssertionError: bash does not understand the block, or a program in it is unknown.
    """
    stubs.mkdir(exist_ok=True)
    for name in STUBBED:
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    recorded = stubs / 'recorded'
    recorded.write_text('')
    text = re.sub(r'(?m)( --cfg-options)? \.\.\.$', '', text)  # "and so on"
    done = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', text],
        cwd=folder,
        env={
            **environment,
            'PATH': f'{stubs}:{os.environ["PATH"]}',
            'RECORDED': str(recorded),
            'REAL_PYTHON': python,
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f'{text}\n{done.stderr}'
    found = []
    for record in recorded.read_text().split('\x1e')[:-1]:
        program, cwd, exported, *arguments = record.split('\x1f')[:-1]
        pairs = dict(line.split('=', 1) for line in exported.splitlines())
        found.append(Command(program, tuple(arguments), Path(cwd), pairs))
    return found
