"""What every run of DenseDistill has, whatever its config says about hooks."""

from pathlib import Path

import pytest
from helpers.distillation_runs import run_config
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmkd.engine import (
    DurableCheckpointHook,
    FiniteLossHook,
    IterationSeedHook,
    StudentCheckpointHook,
    prepare_runner,
)

ALWAYS = (DurableCheckpointHook, FiniteLossHook, IterationSeedHook, StudentCheckpointHook)
CONFIGS = Path(__file__).parents[2] / 'configs'


def hooks_of(runner):
    return [type(hook) for hook in runner.hooks]


@pytest.mark.parametrize(
    'hooks',
    [
        dict(),
        dict(custom_hooks=[dict(type='EMAHook')]),
        dict(default_hooks=dict(student_checkpoint=None)),
        dict(custom_hooks=[dict(type='mmkd.StudentCheckpointHook'), dict(type='mmkd.FiniteLossHook')]),
        dict(default_hooks=dict(checkpoint=dict(type='mmkd.DurableCheckpointHook', interval=1))),
    ],
    ids=['none', 'custom hooks of its own', 'default hooks of its own', 'written out', 'durable by name'],
)
def test_every_run_has_each_of_them_once(teacher, hooks):
    """Built as mmdet's and mmseg's own tools/train.py build it."""
    config = run_config('run', teacher)
    del config.default_hooks['student_checkpoint']
    config.merge_from_dict(hooks)
    if config.default_hooks.get('student_checkpoint', 1) is None:
        del config.default_hooks['student_checkpoint']
    runner = Runner.from_cfg(config)
    for hook in ALWAYS:
        assert hooks_of(runner).count(hook) == 1, hook
    assert CheckpointHook not in hooks_of(runner)
    before = list(runner.hooks), runner._train_dataloader
    prepare_runner(runner)
    assert (list(runner.hooks), runner._train_dataloader) == before


def test_options_in_the_config_are_kept(teacher):
    config = run_config('run', teacher, custom_hooks=[dict(type='mmkd.FiniteLossHook', interval=7)])
    config.default_hooks.checkpoint.update(max_keep_ckpts=3, save_best='acc', rule='greater')
    runner = Runner.from_cfg(config)
    assert [hook.interval for hook in runner.hooks if isinstance(hook, FiniteLossHook)] == [7]
    (checkpoint,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    assert (checkpoint.max_keep_ckpts, checkpoint.save_best) == (3, ['acc'])


def test_the_config_that_is_saved_is_the_one_that_was_written(teacher):
    config = run_config('run', teacher)
    before = config.pretty_text
    runner = Runner.from_cfg(config)
    assert runner.cfg.pretty_text == config.pretty_text == before
    assert runner._train_dataloader.sampler.type == 'mmkd.SeededSampler'


def test_a_run_of_another_model_is_left_alone_outside_of_mmkds_tools(teacher):
    config = run_config('run', teacher)
    config.model = config.model.student
    del config.default_hooks['student_checkpoint']
    runner = Runner.from_cfg(config)
    assert not set(hooks_of(runner)) & set(ALWAYS)
    prepare_runner(runner)  # as mmkd's tools do
    assert DurableCheckpointHook in hooks_of(runner) and IterationSeedHook in hooks_of(runner)
    assert FiniteLossHook not in hooks_of(runner)


@pytest.mark.parametrize('term', sorted(path.name for path in (CONFIGS / '_base_/kd').glob('*.py')))
def test_a_base_of_a_term_goes_with_any_other_base(tmp_path, term):
    """Two bases with one key are refused; YOLOX has custom hooks, an optimizer and so on."""
    student = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
    (tmp_path / 'kd.py').write_text(f'_base_ = [{student!r}, "mmkd::_base_/kd/{term}"]\n')
    config = Config.fromfile(tmp_path / 'kd.py')
    assert [hook.type for hook in config.custom_hooks] == ['YOLOXModeSwitchHook', 'SyncNormHook', 'EMAHook']


def test_a_run_that_is_to_be_resumed_without_a_file_takes_the_newest_whole_one(teacher):
    from helpers.distillation_runs import train

    train(run_config('run', teacher, epochs=2))
    Path('run/epoch_2.pth').write_bytes(Path('run/epoch_2.pth').read_bytes()[:-100])
    runner = Runner.from_cfg(run_config('run', teacher, epochs=2, resume=True))
    assert Path(runner._load_from).name == 'epoch_1.pth'
    runner.train()
    assert runner.iter == 6
