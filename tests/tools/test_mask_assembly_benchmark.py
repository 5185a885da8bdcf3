"""The benchmark of the mask assembly: it compares before it times."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

TOOL = str(Path(__file__).parents[2] / 'tools/benchmark/mask_assembly.py')


@pytest.fixture(autouse=True)
def folder_of_the_tool(monkeypatch):
    """Where a script finds the module beside it when it is run as a command."""
    monkeypatch.syspath_prepend(Path(TOOL).parent)


def test_a_row_for_each_case(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', [TOOL, '--repeats', '1', '--max-objects', '30'])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(TOOL, run_name='__main__')
    finally:
        torch.set_num_threads(threads)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| 4 | 7 |')]
    assert len(rows) == 1 and float(rows[0].split('|')[-2]) > 0


def test_ways_that_differ_are_not_timed(monkeypatch):
    tool = runpy.run_path(TOOL)
    monkeypatch.setattr(sys, 'argv', [TOOL, '--repeats', '1', '--max-objects', '30'])
    compare = tool['compare_assembly']
    monkeypatch.setitem(compare.__globals__, 'loop_loss', lambda *case: 1.01 * tool['assembled_loss'](*case))
    with pytest.raises(AssertionError):
        compare(tool['parse_args']())
