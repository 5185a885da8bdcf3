"""What a runner would build when it trains is built before, once, and some samples are looked at."""

import numpy as np
import pytest
from mmengine.config import ConfigDict
from wrong_inputs.files import label, pixels, write_data

from mmkd.apis import build
from mmkd.datasets import CheckedPipeline
from mmkd.utils.errors import UserError


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A runner of the tiny segmentor, built and not started."""
    from pathlib import Path

    from mmengine.config import Config
    from mmengine.runner import Runner

    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    cfg = Config.fromfile(Path(__file__).parents[1] / 'wrong_inputs/configs/segmentor.py')
    cfg.work_dir = 'run'
    cfg.auto_scale_lr = dict(enable=True, base_batch_size=4)
    cfg.param_scheduler = [dict(type='ConstantLR', factor=0.5, by_epoch=False, begin=0, end=2)]
    return Runner.from_cfg(cfg)


def test_all_is_built_and_the_learning_rate_is_scaled_once(runner):
    build.build_training(runner)
    assert len(runner.train_dataloader.dataset) == len(runner.val_dataloader.dataset) == 4
    steps = runner.train_dataloader.dataset.pipeline.transforms
    assert isinstance(steps[0], CheckedPipeline) and steps[0].name == 'train_dataloader.dataset'
    assert (steps[0].num_classes, steps[0].ignore_index) == (2, 255)
    runner.train()
    # lr 0.001 for a batch of 4, here 2; and half of it by the schedule, which ends after the second iteration
    assert runner.optim_wrapper.param_groups[0]['initial_lr'] == pytest.approx(0.0005)


def test_the_config_of_the_run_is_not_changed(runner):
    before = runner.cfg.train_dataloader.to_dict()
    build.build_training(runner)
    assert runner.cfg.train_dataloader.to_dict() == before


def test_label_maps_without_one_labelled_pixel_are_refused_and_those_of_unlabelled_data_are_not_looked_at(
    runner, tmp_path
):
    label(pixels(32, 32, value=255), range(4))(tmp_path)
    dataset = runner._train_dataloader['dataset']
    runner._train_dataloader['dataset'] = ConfigDict(type='mmkd.UnlabelledDataset', dataset=dataset)
    build.build_training(runner)
    assert isinstance(next(build._innermost(runner.train_dataloader.dataset)).pipeline.transforms[0], CheckedPipeline)
    dataset = runner._val_dataloader['dataset'] = runner.val_dataloader.dataset
    dataset.pipeline.transforms[0].load = lambda info: dict(gt_seg_map=np.full((4, 4), 255))
    with pytest.raises(UserError, match='not one pixel of the 4 label maps looked at has a class'):
        build._look_at(dataset, 'val_dataloader')


def test_a_worker_that_starts_with_the_loop_has_the_checks(runner, tmp_path):
    label(pixels(32, 32, value=7), [3])(tmp_path)
    runner._train_dataloader.update(num_workers=1, persistent_workers=True)
    with pytest.raises(UserError, match='sample 3, data/train/3.png: data/labels/train/3.png has the id 7'):
        build.build_training(runner)
    with pytest.raises(UserError, match='sample 3, data/train/3.png: data/labels/train/3.png has the id 7'):
        for _ in range(4):
            next(runner.train_loop.dataloader_iterator)
