"""Runs Python commands as a user types them, without the ten seconds that each interpreter spends on imports.

One process imports the libraries once and forks for every command. Started as a script it serves; imported, it gives
:class:`CommandServer`, by which a test talks to it.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ['CommandServer', 'Done']

IMPORTS = ('mmkd', 'mmdet.apis', 'mmseg.apis', 'mmkd.models', 'mmkd.distillation.algorithms', 'mmkd.engine')
TIMEOUT = 300.0


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, and what it printed on both streams."""

    code: int
    output: str


class CommandServer:
    """Runs ``python SCRIPT ARGUMENTS`` in forks of one process.

    Args:
        site: A folder with an installed copy of mmkd; None for the one of this environment.
        cwd: Where the server starts.
    """

    def __init__(self, cwd: Path, site: Path | None = None):
        environment = {**os.environ, 'PYTHONWARNINGS': 'ignore', 'OMP_NUM_THREADS': '1'}
        if site is not None:
            environment['PYTHONPATH'] = str(site)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.package = self._answer()['package']

    def run(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Done:
        """Runs a script with its arguments in a folder, with further environment variables."""
        request = dict(arguments=list(map(str, arguments)), cwd=str(cwd), environment=dict(environment or {}))
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        return Done(**self._answer())

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'the command server ended with code {self._process.wait()}')
        return json.loads(line)

    def close(self) -> None:
        """Ends the server."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=120)


def _serve() -> None:
    answers = os.fdopen(os.dup(1), 'w')  # libraries print while they are imported
    os.dup2(2, 1)
    sys.path.pop(0)  # this folder
    for name in IMPORTS:
        __import__(name)
    package = os.path.dirname(sys.modules['mmkd'].__file__)
    print(json.dumps(dict(package=package)), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), file=answers, flush=True)
    os._exit(0)  # taking the interpreter down, with all that is imported, takes seconds


def _run(arguments: list[str], cwd: str, environment: dict[str, str]) -> dict:
    output = os.memfd_create('output')
    child = os.fork()
    if child == 0:
        os.setsid()  # the group is killed with its data workers
        for stream in (1, 2):
            os.dup2(output, stream)
        os.chdir(cwd)
        os.environ.update(environment)
        os._exit(_exit_code(arguments))
    deadline = time.monotonic() + TIMEOUT
    code = None
    while code is None:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > deadline:
            os.killpg(child, 9)
            os.waitpid(child, 0)
            code = 124
        else:
            time.sleep(0.02)
    size = os.lseek(output, 0, os.SEEK_END)
    text = os.pread(output, size, 0).decode(errors='replace')
    os.close(output)
    return dict(code=code, output=text)


def _exit_code(arguments: list[str]) -> int:
    sys.argv = arguments
    code = 0
    try:
        runpy.run_path(arguments[0], run_name='__main__')
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == '__main__':
    _serve()
