"""Checks that two processes of one run go through together, talking through gloo."""

from __future__ import annotations

import datetime
import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.logging import MessageHub
from torch import distributed, multiprocessing

from mmkd.apis.launch import finish

__all__ = ['failures_of']

TIMEOUT = datetime.timedelta(seconds=60)  # of waiting for the other process, if that one has failed


def failures_of(checks: Mapping[str, tuple[Callable, Sequence]], folder: Path) -> dict[str, str]:
    """Runs all checks in one pair of processes, since starting them takes longer than any of the checks.

    Args:
        checks: By name, a function of a module and what it is called with after the rank.
        folder: Where the processes leave what they found.

    Returns:
        What went wrong in each check; empty where nothing did. Those after the first that failed are not reached.
    """
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_go_through, (port, folder, dict(checks)), nprocs=2)
    results = [torch.load(folder / f'{rank}.pth') for rank in range(2)]
    return {name: results[0][name] + results[1][name] for name in checks}


def _go_through(rank: int, port: int, folder: Path, checks: dict) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', TIMEOUT, rank=rank, world_size=2)
    report = dict.fromkeys(checks, 'not reached, since an earlier check failed')
    for name, (check, arguments) in checks.items():
        MessageHub.get_instance(name)  # what a run knows of itself
        try:
            check(rank, *arguments)
            report[name] = ''
        except BaseException:
            report[name] = f'rank {rank}: {traceback.format_exc()}'
            break  # the processes are out of step now
    torch.save(report, folder / f'{rank}.pth')
    finish()
