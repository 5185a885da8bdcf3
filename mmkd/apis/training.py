"""Training a config from the first check to the last iteration, and the options by which a command changes it."""

from __future__ import annotations

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mmkd.utils.errors import UserError

from . import build, launch, preflight
from .errors import leaves_nothing_behind, user_errors

__all__ = ['apply_amp', 'apply_auto_scale_lr', 'apply_resume', 'train']


def train(cfg: Config) -> Runner:
    """Checks a config against the disk, builds all that its training needs, and trains.

    Args:
        cfg: A plain training config, or a student with its teacher; ``work_dir`` and ``launcher`` are set, as
            :func:`mmkd.apis.load_config` does.

    Returns:
        The runner, after training.

    Raises:
        UserError: Something in the config cannot be; then nothing of the run is left behind.
        RunError: The training cannot go on.
    """
    preflight.check_train_config(cfg)
    launch.prepare_launch(cfg)
    with leaves_nothing_behind(cfg.work_dir):
        with user_errors('building the run', cfg):
            runner = launch.build_runner(cfg)
            launch.prepare_model(runner)
            launch.check_checkpoint(runner)
            build.build_training(runner)
        runner.train()
    return runner


def student_optim_wrapper(cfg: Config) -> tuple[str, ConfigDict]:
    """The key and the config of the optimizer wrapper that trains the student.

    It is ``optim_wrapper`` itself, also with a constructor that adds further optimizers beside it, or the entry
    ``architecture`` of mmrazor's ``SeparateOptimWrapperConstructor``.
    """
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        raise UserError('optim_wrapper: the config has none')
    if 'optimizer' not in wrapper:
        for name in ('architecture', 'student'):
            if isinstance(wrapper.get(name), dict):
                return f'optim_wrapper.{name}', wrapper[name]
    return 'optim_wrapper', wrapper


def apply_amp(cfg: Config, dtype: str | None = None) -> None:
    """Turns on automatic mixed precision for the student, as ``--amp`` of mmdet does; on a CPU in bfloat16.

    Args:
        cfg: The config, changed in place.
        dtype: ``'float16'`` or ``'bfloat16'``; None for the device's own: float16 of an accelerator, bfloat16 of a CPU.

    Raises:
        UserError: A CPU was asked for float16, or the optimizer wrapper is one that has no mixed-precision form.
    """
    from mmengine.device import get_device

    on_cpu = get_device() == 'cpu'
    if on_cpu and dtype == 'float16':
        raise UserError('--amp-dtype: float16 needs an accelerator, and none was found here; on a CPU: bfloat16')
    key, wrapper = student_optim_wrapper(cfg)
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'mmkd.AutocastOptimWrapper'):
        raise UserError(f"--amp: {key}.type is {kind!r}; 'OptimWrapper' was expected")
    if on_cpu:
        wrapper.type = 'mmkd.AutocastOptimWrapper'
        for key in ('loss_scale', 'dtype'):  # of AmpOptimWrapper
            wrapper.pop(key, None)
        return
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')
    if dtype is not None:
        wrapper.dtype = dtype


def apply_auto_scale_lr(cfg: Config) -> None:
    """Turns on scaling of the learning rate with the batch size, as ``--auto-scale-lr`` of mmdet does.

    Raises:
        UserError: The config does not say for which batch size its learning rate is meant.
    """
    if not isinstance(cfg.get('auto_scale_lr'), dict) or 'base_batch_size' not in cfg.auto_scale_lr:
        raise UserError(
            '--auto-scale-lr: auto_scale_lr.base_batch_size is missing from the config, so it is not known for which '
            'batch size the learning rate is meant; add auto_scale_lr = dict(enable=False, base_batch_size=16)'
        )
    cfg.auto_scale_lr.enable = True


def apply_resume(cfg: Config, resume: str | None) -> None:
    """Applies ``--resume``: ``'auto'`` continues from the last checkpoint of the work dir, a path from that file."""
    if resume is None:
        return
    cfg.resume = True
    cfg.load_from = None if resume == 'auto' else resume
