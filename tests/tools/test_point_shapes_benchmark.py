"""The benchmark of the local shapes: it compares before it prints."""

import runpy
from pathlib import Path

import pytest
import torch

TOOL = str(Path(__file__).parents[2] / 'tools/benchmark/point_shapes.py')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(Path(TOOL).parent)  # as when it is run as a command
    threads = torch.get_num_threads()
    module = runpy.run_path(TOOL)
    module['make_case'].__globals__.update(MAP=32, CLASSES=2, CHANNELS=4)
    yield module
    torch.set_num_threads(threads)


def test_both_ways_give_the_same(tool):
    losses, gradient, seconds, _ = tool['measure']('map', 2, 3, 'cpu', 1, 1)
    our_losses, our_gradient, our_seconds, _ = tool['measure']('objects', 2, 3, 'cpu', 1, 1)
    assert our_losses == pytest.approx(losses, rel=1e-5)
    assert our_gradient == pytest.approx(gradient, rel=1e-3, abs=1e-6)
    assert seconds > 0 and our_seconds > 0
