"""Runs the tools as a user would, shows how far they are, and re-uses what an earlier run finished."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ['Stage', 'StageFailed', 'run_stage']

PROGRESS = re.compile(r'Iter\((train|val|test)\) +\[ *(\d+)/(\d+)\](.*)')
LAST_LINES = 25


class StageFailed(RuntimeError):
    """A command of the demo ended with an error; the message shows its last lines."""


@dataclass(frozen=True)
class Stage:
    """One command whose result is kept.

    Attributes:
        name: Shown to the user.
        command: What is run.
        folder: Its work dir, with its log ``<key>.log`` and the note that it is finished.
        key: ``'train'`` or ``'test'``.
        inputs: What the result depends on (the whole config, the checkpoint), as text. Changed inputs mean that the
            stage is run again from the start.
        result: The file that is there once it is finished.
        environment: Environment variables of the command.
        resume: Options added where an earlier run was interrupted.
    """

    name: str
    command: tuple[str, ...]
    folder: Path
    key: str
    inputs: str
    result: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    resume: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identifies the inputs."""
        return hashlib.sha256(self.inputs.encode()).hexdigest()

    @property
    def note(self) -> Path:
        """The file that says which inputs the folder belongs to, and whether the stage is finished."""
        return self.folder / f'{self.key}.json'


def run_stage(stage: Stage) -> bool:
    """Runs a stage unless it was finished earlier with the same inputs.

    Returns:
        Whether it was run now.

    Raises:
        StageFailed: The command failed.
    """
    note = json.loads(stage.note.read_text()) if stage.note.is_file() else {}
    same = note.get('inputs') == stage.fingerprint
    if same and note.get('finished') and stage.result.is_file():
        print(f'{stage.name}: done before, in {_shown(stage.folder)}')
        return False
    if not same and stage.key == 'train':
        shutil.rmtree(stage.folder, ignore_errors=True)  # made by another config: nothing in it can be continued
    stage.folder.mkdir(parents=True, exist_ok=True)
    stage.note.write_text(json.dumps(dict(inputs=stage.fingerprint, finished=False)))
    _run(stage, [*stage.command, *(stage.resume if same else ())])
    if not stage.result.is_file():
        raise StageFailed(f'{stage.name}: ended without an error, but {stage.result} is not there')
    stage.note.write_text(json.dumps(dict(inputs=stage.fingerprint, finished=True)))
    return True


def _run(stage: Stage, command: list[str]) -> None:
    log = stage.folder / f'{stage.key}.log'
    last = deque(maxlen=LAST_LINES)
    bar = ProgressLine(stage.name)
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **stage.environment}
    with open(log, 'a') as file:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace'
        )
        try:
            for line in process.stdout:
                file.write(line)
                last.append(line)
                bar.show(line)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            bar.close()
    if code != 0:
        raise StageFailed(f'{stage.name}: exit code {code}; its last lines, all of them in {log}:\n{"".join(last)}')


class ProgressLine:
    """Condenses mmengine's log to one line that moves; to one line for every tenth where nothing can move (a file)."""

    def __init__(self, name: str, stream=None):
        self.name = name
        self.stream = stream or sys.stdout
        self.moves = self.stream.isatty()
        self.start = time.monotonic()
        self.shown_tenth = -1
        self.width = 0
        self._write(f'{name}: starting')

    def show(self, line: str) -> None:
        """Takes in one line of the log."""
        match = PROGRESS.search(line)
        if not match or 'eta' not in match[4]:
            return
        done, total = int(match[2]), int(match[3])
        tenth = 10 * done // total
        if not self.moves and tenth == self.shown_tenth:
            return
        self.shown_tenth = tenth
        bar = '#' * (20 * done // total)
        eta = re.search(r'eta: (\S+)', match[4])
        loss = re.search(r' loss: ([\d.]+)', match[4])
        loss = f'  loss {loss[1]}' if loss else ''
        what = '' if match[1] == 'train' else f'  {match[1]}'
        self._write(f'{self.name}: [{bar:<20}] {done}/{total}{what}{loss}  eta {eta[1]}')

    def close(self) -> None:
        """Ends the line."""
        self._write(f'{self.name}: {time.monotonic() - self.start:.0f} s')
        if self.moves:
            self.stream.write('\n')

    def _write(self, text: str) -> None:
        if self.moves:
            self.stream.write('\r' + text.ljust(self.width))
            self.width = len(text)
        else:
            self.stream.write(text + '\n')
        self.stream.flush()


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
