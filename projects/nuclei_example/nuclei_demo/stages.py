"""Runs the tools as a user would, side by side, shows how far they are, and re-uses what an earlier run finished."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from .progress import ProgressLine, Screen

__all__ = ['Stage', 'StageFailed', 'run_lanes', 'run_stage']

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


class Processes:
    """The commands that run at the moment, so that all of them end when one fails or the user interrupts."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen:
        """Starts a command.

        Raises:
            StageFailed: All are to end.
        """
        with self._lock:
            if self._stopped:
                raise StageFailed('stopped, since another stage failed')
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace'
            )
            self._running.add(process)
            return process

    def ended(self, process: subprocess.Popen) -> None:
        """Forgets a command."""
        with self._lock:
            self._running.discard(process)

    def stop(self) -> None:
        """Ends all commands, and lets no other start."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


def run_lanes(lanes: Sequence[Sequence[Stage]], jobs: int, screen: Screen | None = None) -> None:
    """Runs lanes side by side; the stages of a lane one after the other.

    Args:
        lanes: The stages.
        jobs: How many lanes run at a time.
        screen: Where their progress is shown, one line a lane; default the terminal.

    Raises:
        StageFailed: A command failed; the others are ended.
    """
    screen = screen or Screen(len(lanes))
    processes = Processes()

    def run(number: int) -> None:
        for stage in lanes[number]:
            run_stage(stage, screen, number, processes)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, number) for number in range(len(lanes))]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            processes.stop()
            raise
        finally:
            for future in futures:
                future.cancel()


def run_stage(stage: Stage, screen: Screen | None = None, number: int = 0, processes: Processes | None = None) -> bool:
    """Runs a stage unless it was finished earlier with the same inputs.

    Args:
        stage: The stage.
        screen: Where its progress is shown; default the terminal.
        number: In which line of it.
        processes: Where its command is noted while it runs.

    Returns:
        Whether it was run now.

    Raises:
        StageFailed: The command failed.
    """
    screen = screen or Screen()
    note = json.loads(stage.note.read_text()) if stage.note.is_file() else {}
    same = note.get('inputs') == stage.fingerprint
    if same and note.get('finished') and stage.result.is_file():
        screen.keep(f'{stage.name}: done before, in {_shown(stage.folder)}')
        return False
    if not same and stage.key == 'train':
        shutil.rmtree(stage.folder, ignore_errors=True)  # made by another config: nothing in it can be continued
    stage.folder.mkdir(parents=True, exist_ok=True)
    stage.note.write_text(json.dumps(dict(inputs=stage.fingerprint, finished=False)))
    command = [*stage.command, *(stage.resume if same else ())]
    _run(stage, command, ProgressLine(stage.name, screen, number), processes or Processes())
    if not stage.result.is_file():
        raise StageFailed(f'{stage.name}: ended without an error, but {stage.result} is not there')
    stage.note.write_text(json.dumps(dict(inputs=stage.fingerprint, finished=True)))
    return True


def _run(stage: Stage, command: list[str], bar: ProgressLine, processes: Processes) -> None:
    log = stage.folder / f'{stage.key}.log'
    last = deque(maxlen=LAST_LINES)
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **stage.environment}
    with open(log, 'a') as file:
        process = processes.start(command, environment)
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
            processes.ended(process)
            bar.close()
    if code != 0:
        raise StageFailed(f'{stage.name}: exit code {code}; its last lines, all of them in {log}:\n{"".join(last)}')


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
