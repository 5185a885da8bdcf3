"""Runs a table of reduced runs and writes what came out: the protocol of docs/results/protocol.md, made a program.

    python projects/reduced_runs/run.py projects/reduced_runs/tables/camvid_few_labels.yml
    python projects/reduced_runs/run.py TABLE.yml --only kl --seeds 1 2    # these runs alone
    python projects/reduced_runs/run.py TABLE.yml --jobs 2                 # two processes, of one core each
    python projects/reduced_runs/run.py TABLE.yml --report                 # run nothing, write the page's table

Run it again after an interruption: what is finished is skipped, a run that was cut off begins anew. A run is finished
when its log lies in ``docs/results/logs/<name of the table>/<arm>_seed<N>.json``. The first line of a log says what was
run, the last what it scored, and between them are mmengine's records.

A table (paths are relative to the repository; ``$NAME`` and ``${NAME}`` are of the environment)::

    title: Few labels
    page: docs/results/semantic_camvid.md   # with the lines '<!-- table camvid_few_labels: begin -->' and '... end -->'
    metric: mIoU                            # as the evaluator names it, and as the page does
    factor: 1                               # to points; 100 for a metric of 0 to 1
    seeds: [1, 2, 3, 4, 5]
    data: camvid                            # its folder below MMKD_DATA, if not the one that the configs say
    options: {}                             # --cfg-options of all arms
    teacher: {log: teacher, label: EfficientNet-Lite2, config: ..., seed: 0, ckpt: checkpoints/camvid_lite2.pth}
    baseline: alone
    arms:
      alone: {label: student alone, config: projects/reduced_runs/configs/camvid_lite0_46.py}
      kl:
        label: + KL on all images
        config: projects/reduced_runs/configs/camvid_lite0_46_kl.py
        options: {model.distill.pi.loss.loss_weight: 2.0}
        seeds: [1, 2, 3]                    # where not all are run
    search:                                 # on val, with a seed that is not reported
      seed: 0
      lr: {arm: alone, option: optim_wrapper.optimizer.lr, values: [5.e-4, 1.e-3, 2.e-3]}         # best into all arms
      weight: {arm: kl, option: model.distill.pi.loss.loss_weight, values: [1, 2, 4], into: [kl]}  # or these

``teacher`` is trained first where its ``ckpt`` is not there, and tested. Searches go in their order, each with what
those before it found. All arms must have the same schedule, or nothing is run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from pathlib import Path

import mmkd  # noqa: F401  first: makes _base_ = 'mmkd::...' resolve

sys.path.insert(0, str(Path(__file__).parent))
from protocol import Run, Table, best_options, check_budgets, missing_runs, search_runs  # noqa: E402
from report import write_report  # noqa: E402

ROOT = Path(__file__).parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', help='the table, a YAML file')
    parser.add_argument('--only', nargs='+', metavar='ARM', help='run these arms alone')
    parser.add_argument('--seeds', nargs='+', type=int, help='run these seeds alone')
    parser.add_argument('--jobs', type=int, default=1, help='processes at a time, of one core each')
    parser.add_argument('--report', action='store_true', help='run nothing, write the table from the logs')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended'))  # and not at once, or the runs would go on alone
    os.chdir(ROOT)
    table = Table.read(args.table)
    if not args.report:
        check_budgets(table)
        if table.teacher:
            run_all([run for run in [table.teacher_run()] if not run.is_finished()], 1)
        for search in table.searches:
            run_all([run for run in search_runs(table, search) if not run.is_finished()], args.jobs)
        run_all(missing_runs(table, best_options(table), args.only, args.seeds), args.jobs)
    write_report(table)


def run_all(runs: list[Run], jobs: int) -> None:
    """Runs each in a process of its own, forked from this one, which has imported already what they all need.

    Raises:
        SystemExit: One failed; its output names the error. The others are finished first.
    """
    if not runs:
        return
    import torch
    import training  # noqa: F401  imports the libraries once

    torch.set_num_threads(1)
    context = multiprocessing.get_context('fork')
    waiting, running, failed = list(runs), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                print(f'{run.table} {run.name}', flush=True)
                process = context.Process(target=training.execute, args=(run,))
                process.start()
                running[process.sentinel] = run, process
            for sentinel in multiprocessing.connection.wait(list(running)):
                run, process = running.pop(sentinel)
                process.join()
                if process.exitcode or not run.is_finished():
                    failed.append(f'{run.name}: {last_line(run)} ({run.work_dir}/output.txt shows more)')
    finally:
        for _, process in running.values():
            process.terminate()
    if failed:
        print('\n'.join(f'error: {failure}' for failure in failed), file=sys.stderr)
        raise SystemExit(2)


def last_line(run: Run) -> str:
    """What a run that failed said at its end."""
    output = run.work_dir / 'output.txt'
    lines = output.read_text().split('\n') if output.is_file() else []
    return next((line for line in reversed(lines) if line.strip()), 'it ended without a word')


if __name__ == '__main__':
    main()
