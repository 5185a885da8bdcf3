"""Writes a page about one or several runs: table, curves, pictures, configs and environment in one HTML file.

Example:
    mmkd report work_dirs/student_kd
    mmkd report work_dirs/student work_dirs/student_kd --out report.html
"""

import argparse

HELP = 'a page about runs: table, curves, pictures, config, environment'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument('work_dirs', nargs='+', help='work dirs of trainings')
    parser.add_argument('--names', nargs='+', help='of the runs; by default those of their folders')
    parser.add_argument('--out', help='page to write; default report.html in the first work dir')


def run(args: argparse.Namespace) -> None:
    """Writes the page."""
    from pathlib import Path

    from mmkd.apis.report import named_runs, write_report

    out = Path(args.out or Path(args.work_dirs[0], 'report.html'))
    write_report(named_runs(args.work_dirs, args.names), out)
    print(out)
