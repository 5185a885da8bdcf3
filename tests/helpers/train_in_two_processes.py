"""Trains, or goes on training, on two processes that talk through gloo: WORK_DIR LENGTH ITERATION.

At that iteration rank 1 is killed; 0 means never.

Each process leaves ``<rank>.json`` in the work dir: the files that it removed or looked for. The last line that is
printed has the exit codes of both, and how long after the first the second ended.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mmengine.config.config  # noqa: E402

mmengine.config.config.FormatCode = lambda text, *args, **kwargs: (text, True)  # takes seconds to format a config


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def train(rank: int, work_dir: str, length: int, killed_at: int) -> None:
    from mmengine.fileio import LocalBackend
    from mmengine.hooks import Hook

    from helpers.resumable_runs import resumable
    from mmkd.apis import launch

    class Die(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if rank == 1 and runner.iter + 1 == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)

    touched = dict(remove=[], isfile=[])
    for name, paths in touched.items():
        method = getattr(LocalBackend, name)

        def counted(self, path, method=method, paths=paths):
            paths.append(Path(path).name)
            return method(self, path)

        setattr(LocalBackend, name, counted)
    config = resumable(work_dir, length=length, launcher='pytorch', resume=True)
    launch.prepare_launch(config)
    runner = launch.build_runner(config)
    runner.register_hook(Die())
    runner.train()
    Path(work_dir, f'{rank}.json').write_text(json.dumps(touched))
    launch.finish()


if __name__ == '__main__':
    from mmkd.apis.errors import run_tool

    work_dir, length, killed_at = sys.argv[1], *map(int, sys.argv[2:])
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()), WORLD_SIZE='2')
    processes = []
    for rank in range(2):
        processes.append(os.fork())
        if processes[-1] == 0:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
            try:
                run_tool(lambda rank=rank: train(rank, work_dir, length, killed_at))
            except SystemExit as ended:
                sys.stderr.flush()
                os._exit(ended.code)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(3)
    first_end = None
    codes = {}
    for _ in processes:
        process, status = os.wait()
        first_end = first_end or time.monotonic()
        codes[processes.index(process)] = os.waitstatus_to_exitcode(status)
    print(json.dumps(dict(codes=[codes[0], codes[1]], seconds=time.monotonic() - first_end)))
