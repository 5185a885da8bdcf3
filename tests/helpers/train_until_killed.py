"""Trains, or goes on training, until SIGKILL comes: WORK_DIR BY_EPOCH WORKERS LENGTH SECONDS (0: never)."""

import os
import select
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import mmengine.config.config  # noqa: E402

mmengine.config.config.FormatCode = lambda text, *args, **kwargs: (text, True)  # takes seconds to format a config


def kill_after(seconds: float) -> None:
    """Has another process kill this one, wherever it is then; not if it has ended before."""
    run = os.getpid()
    ended, alive = os.pipe()
    if os.fork() == 0:
        os.close(alive)
        if not select.select([ended], [], [], seconds)[0]:
            os.kill(run, signal.SIGKILL)
        os._exit(0)
    os.close(ended)  # and 'alive' is closed when this process ends


if __name__ == '__main__':
    work_dir, by_epoch, workers, length, seconds = sys.argv[1:]
    if float(seconds):
        kill_after(float(seconds))
    from helpers.distillation_runs import train
    from helpers.resumable_runs import resumable

    train(resumable(work_dir, by_epoch == 'True', int(workers), int(length), resume=True))
