"""Gates: that distillation pays, by short trainings and by the logs of the long ones."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.engine import prepare_runner

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / 'configs/_gates_'
GATES = sorted(path.name for path in FOLDER.glob('*.py'))
KEYS = {'metric', 'expected', 'tolerance', 'train', 'over', 'gain', 'gain_tolerance'}
DEMO_LOGS = ROOT / 'docs/results/logs/nuclei_demo'


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='module')
def scores(tmp_path_factory):
    """The score of a gate in percent. Each is run once, also if another gate is measured against it."""
    found = {}

    def score(name):
        if name not in found:
            found[name] = run(name, tmp_path_factory.mktemp(Path(name).stem))
        return found[name]

    return score


def run(name, work_dir):
    cfg = Config.fromfile(FOLDER / name)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].update(num_workers=0, persistent_workers=False)
    cfg.work_dir = str(work_dir)
    cfg.train_cfg.val_begin = cfg.train_cfg.max_iters + 1  # tested below
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=-1, save_last=False)
    runner = Runner.from_cfg(cfg)
    prepare_runner(runner)
    if cfg.gate.get('train', True):
        runner.train()
    return 100 * runner.test()[cfg.gate.metric]


@pytest.mark.slow
@pytest.mark.parametrize('name', GATES)
def test_a_gate_scores_what_it_scored(name, scores, one_thread):
    gate = Config.fromfile(FOLDER / name).gate
    found = scores(name)
    print(f'{name}: {found:.1f} {gate.metric}, expected {gate.expected} +- {gate.tolerance}')
    assert abs(found - gate.expected) <= gate.tolerance, (
        f'{name}: {found:.1f} {gate.metric}, expected {gate.expected} +- {gate.tolerance}'
    )
    if 'over' in gate:
        gain = found - scores(gate.over)
        assert gain > 0 and abs(gain - gate.gain) <= gate.gain_tolerance, (
            f'{name}: a gain of {gain:.1f} over {gate.over}, expected {gate.gain} +- {gate.gain_tolerance}'
        )


def test_there_are_at_most_ten_gates_and_each_says_what_it_must_reach():
    assert 0 < len(GATES) <= 10
    for name in GATES:
        cfg = Config.fromfile(FOLDER / name)
        assert set(cfg.gate) <= KEYS and {'metric', 'expected', 'tolerance'} <= set(cfg.gate), name
        assert 0 < cfg.gate.tolerance < cfg.gate.expected, name
        assert cfg.gate.get('over', name) in GATES
        assert not cfg.gate.get('train', True) or cfg.randomness.seed is not None


def test_the_demo_gains_two_points_in_four_of_five_seeds():
    scores = {
        arm: [
            json.loads(path.read_text().splitlines()[-1])['coco/segm_mAP']
            for path in sorted(DEMO_LOGS.glob(f'{arm}_seed*.json'))
        ]
        for arm in ('alone', 'pkd')
    }
    gains = [100 * (taught - alone) for alone, taught in zip(scores['alone'], scores['pkd'], strict=True)]
    assert len(gains) == 5
    assert sum(gain >= 2 for gain in gains) >= 4, gains
