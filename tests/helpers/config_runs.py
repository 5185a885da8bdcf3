"""What the tests of shipped configs share: short runs at a reduced size that are resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from PIL import Image

from mmkd.utils.model_config import resolve_network


def write_image(path: Path, array: np.ndarray) -> None:
    """Writes an image or a map of labels, and the folder it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def short_run(cfg: Config, work_dir: Path) -> None:
    """One process, two iterations of two images, each saved; validation at the end."""
    cfg.work_dir = str(work_dir)
    for part in ('train', 'val', 'test'):
        cfg[f'{part}_dataloader'].update(num_workers=0, persistent_workers=False, pin_memory=False)
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.randomness = dict(seed=0)


def pipeline_steps(cfg: Config) -> Iterator[ConfigDict]:
    """The steps of all pipelines, to make images small."""
    for part in ('train', 'val', 'test'):
        yield from cfg[f'{part}_dataloader'].dataset.pipeline


def reduce_networks(
    cfg: Config, size: tuple[int, int], student: Callable[[Any], None], teacher: Callable[[Any], None] | None = None
) -> None:
    """Makes the networks narrow, as the functions do, and gives the teacher random weights."""
    if 'student' not in cfg.model:
        student(cfg.model)
        return
    student(cfg.model.student)
    network = resolve_network(dict(cfg_path=cfg.model.teacher.cfg_path), 'teacher')
    (teacher or student)(network)
    options = {key: value for key, value in cfg.model.teacher.items() if key not in ('cfg_path', 'ckpt')}
    cfg.model.teacher = ConfigDict(**network, **options, ckpt=None, allow_random=True)
    cfg.model.dry_run = dict(size=size)
    if 'holistic' in cfg.model:
        cfg.model.holistic.discriminator.base_channels = 8


def go_on(runner: Runner, cfg: Config, length: str = 'max_iters', to: int = 3) -> Runner:
    """Resumes a run in the very state in which it ended, and trains on; returns the second run."""
    cfg.resume = True
    cfg.train_cfg[length] = to
    resumed = Runner.from_cfg(cfg)
    resumed.optim_wrapper = resumed.build_optim_wrapper(resumed.optim_wrapper)
    resumed.param_schedulers = resumed.build_param_scheduler(resumed.param_schedulers)
    resumed.load_or_resume()
    assert resumed.iter == runner.iter
    assert equal(resumed.model.state_dict(), runner.model.state_dict())
    assert equal(*(_momenta(run.optim_wrapper.state_dict()) for run in (resumed, runner)))
    resumed.train()
    assert resumed.iter > runner.iter
    return resumed


def _momenta(state: dict) -> dict:
    return state['state'] if 'state' in state else {key: _momenta(value) for key, value in state.items()}


def equal(a: Any, b: Any) -> bool:
    """Whether two state dicts hold the same."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
