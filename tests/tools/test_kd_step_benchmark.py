"""The benchmark of a step of distillation: what it compares is the same work."""

import runpy
from pathlib import Path

import pytest
import torch
from helpers.distillation_toys import batch, toy

TOOL = str(Path(__file__).parents[2] / 'tools/benchmark/kd_step.py')


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(Path(TOOL).parent)  # as when it is run as a command
    return runpy.run_path(TOOL)


def test_all_sides_compute_the_same_losses(tool, tmp_path):
    case = dict(
        student=toy(channels=4, out_channels=6, dropout=0.0),
        teacher=toy(channels=8, out_channels=10, dropout=0.0),
        tap='neck',
        loss=dict(type='mmkd.FeatureMSELoss'),
        levels=3,
        channels=(6, 10),
        size=(32, 32),
        batch=2,
    )
    tool['CASES']['toy'] = case
    tool['sides_of'].__globals__['network_of'] = lambda config, key: tool['build_network'](config)
    totals = {}
    for name, (_, loss_of) in tool['sides_of']('toy', str(tmp_path)).items():
        torch.manual_seed(0)
        if name != 'student alone':
            totals[name] = float(tool['total_of'](loss_of(batch(), None), 'distill'))
    assert len(totals) == 9
    for name, total in totals.items():
        assert total == pytest.approx(totals['mmrazor'], rel=5e-2 if name in tool['APPROXIMATE'] else 1e-5), name
