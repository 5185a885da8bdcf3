"""Starts a tool in several processes, as ``torchrun`` does, and ends with the error of the process that failed.

::

    python -m mmkd.apis.dist_run GPUS SCRIPT [arguments of the script]
    python -m mmkd.apis.dist_run GPUS -m mmkd train CONFIG --launcher pytorch

``tools/dist_train.sh`` and ``dist_test.sh`` run it; the second way needs no checkout. With several machines ``NNODES``,
``NODE_RANK``, ``MASTER_ADDR`` and ``PORT`` are read from the environment; on one machine a free port is found unless
``PORT`` names one. torchrun itself follows the one line, by which a tool says what is wrong, with forty about the
processes.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys

__all__ = ['main']

# Their messages about processes that end say less than the tool's own, and hide it.
QUIET = ('torch.distributed.elastic.multiprocessing.api', 'torch.distributed.elastic.agent.server.api')


def main(arguments: list[str]) -> int:
    """Runs a script in several processes; returns the exit code."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    processes, *script = arguments
    port = os.environ.get('PORT')
    options = run.parse_args(
        [
            f'--nnodes={os.environ.get("NNODES", "1")}',
            f'--node-rank={os.environ.get("NODE_RANK", "0")}',
            f'--master-addr={os.environ.get("MASTER_ADDR", "127.0.0.1")}',
            f'--master-port={port or _default_port()}',
            f'--nproc-per-node={processes}',
            *script,
        ]
    )
    try:
        run.run(options)
    except ChildFailedError as error:
        return _report(error)
    except (SignalException, KeyboardInterrupt) as error:
        number = int(getattr(error, 'sigval', signal.SIGINT))
        return _fail(f'stopped by {signal.Signals(number).name}, and all its processes with it', 128 + number)
    except RuntimeError as error:
        if 'address already in use' not in str(error).lower() and 'EADDRINUSE' not in str(error):
            raise
        return _fail(f'PORT: {options.master_port} is in use on this machine; choose another', 2)
    return 0


def _default_port() -> int:
    """A free port; the usual one with several machines, which have to agree on it."""
    if os.environ.get('NNODES', '1') != '1':
        return 29500
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def _report(error) -> int:
    """Says what the first process that failed has died of, unless it has said so itself."""
    rank, failure = error.get_first_failure()
    killed = {r: f for r, f in error.failures.items() if f.exitcode < 0 and f.exitcode != -signal.SIGTERM}
    if killed:  # nobody else could say it; the others only lost their connection
        rank, failure = next(iter(killed.items()))
        name = signal.Signals(-failure.exitcode).name
        cause = ' (often by the system, when memory runs out)' if name == 'SIGKILL' else ''
        return _fail(f'rank {rank} was killed by {name}{cause}; --resume goes on from the last checkpoint', 1)
    if 0 in error.failures and error.failures[0].exitcode > 0:
        return error.failures[0].exitcode  # rank 0 has said what is wrong
    said = failure.error_file_data.get('message') if isinstance(failure.error_file_data, dict) else None
    return _fail(f'rank {rank}: {said}', failure.exitcode) if isinstance(said, str) else max(failure.exitcode, 1)


def _fail(message: str, code: int) -> int:
    print(f'error: {message}', file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
