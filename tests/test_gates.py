"""Gates: that distillation pays, by short trainings and by the logs of the long ones."""

import json
from pathlib import Path
from statistics import mean

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.runner import Runner

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.engine import prepare_runner

ROOT = Path(__file__).parents[1]
GATES = sorted(path.stem for path in ROOT.glob('configs/_gates_/*.yml'))
DEMO_LOGS = ROOT / 'docs/results/logs/nuclei_demo'


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained_score(config, gate, seed, work_dir):
    cfg = Config.fromfile(ROOT / config)
    cfg.merge_from_dict(gate['options'])
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=0, persistent_workers=False)
    cfg.work_dir, cfg.randomness = str(work_dir), dict(seed=seed)
    cfg.train_cfg.val_begin = gate['options']['train_cfg.max_iters'] + 1  # tested below
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=-1, save_last=False)
    runner = Runner.from_cfg(cfg)
    prepare_runner(runner)
    runner.train()
    return 100 * runner.test()[gate['metric']]


@pytest.mark.slow
@pytest.mark.parametrize('name', GATES)
def test_short_trainings_gain_what_they_gained(name, tmp_path, monkeypatch, one_thread):
    for variable in ('MMKD_NUCLEI_ROOT', 'MMKD_TEACHER_CKPT'):
        monkeypatch.delenv(variable, raising=False)
    gate = yaml.safe_load((ROOT / f'configs/_gates_/{name}.yml').read_text())
    scores = {
        arm: [trained_score(gate[arm], gate, seed, tmp_path / f'{arm}{seed}') for seed in gate['seeds']]
        for arm in ('alone', 'taught')
    }
    gains = [taught - alone for alone, taught in zip(scores['alone'], scores['taught'], strict=True)]
    found = dict(alone=mean(scores['alone']), gain=mean(gains))
    for key, value in found.items():
        expected, tolerance = gate['expected'][key], gate['tolerance'][key]
        assert abs(value - expected) <= tolerance, (
            f'{name}: {key} is {value:.1f} {gate["metric"]}, expected {expected} +- {tolerance}: {scores}'
        )
    assert min(gains) > 0, scores


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
