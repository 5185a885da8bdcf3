"""Numbers of a config that no run can be made with."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable, Iterator
from numbers import Integral, Real

from mmengine.config import Config

from mmkd.utils.walk import walk

__all__ = ['loader_problems', 'training_problems']


def loader_problems(cfg: Config, loader: str) -> Iterator[str]:
    """Batch sizes below one and numbers of workers below zero."""
    settings = cfg.get(loader) or {}
    for key, lowest in (('batch_size', 1), ('num_workers', 0)):
        if key in settings:
            yield from _whole_number(f'{loader}.{key}', settings[key], lowest)


def training_problems(cfg: Config) -> Iterator[str]:
    """Lengths of a run, settings of the optimizers, loss weights, and misspelt options of the checkpoint hook."""
    for key in ('max_iters', 'max_epochs', 'val_interval'):
        if key in cfg.train_cfg:
            yield from _whole_number(f'train_cfg.{key}', cfg.train_cfg[key], 1)
    for key, value in walk(cfg.get('optim_wrapper') or {}, 'optim_wrapper'):
        parts = key.split('.')
        if 'optimizer' in parts[:-1] and parts[-1] in ('lr', 'weight_decay', 'momentum'):
            yield from _number(key, value)
        if parts[-1] == 'accumulative_counts':
            yield from _whole_number(key, value, 1)
    yield from _unknown_optimizers(cfg)
    for key, value in walk(cfg.model, 'model'):
        if 'loss_weight' in key.split('.'):
            yield from _number(key, value)
    yield from _checkpoint_hook_problems(cfg)


def _unknown_optimizers(cfg: Config) -> Iterator[str]:
    """Optimizers that no registry knows, of which mmengine says that None is not callable."""
    from mmengine.registry import OPTIMIZERS

    for key, value in walk(cfg.get('optim_wrapper') or {}, 'optim_wrapper'):
        if key.endswith('optimizer.type') and isinstance(value, str):
            with OPTIMIZERS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
                if registry.get(value) is None:
                    yield f'{key}: {value!r} is no optimizer{_near(value, OPTIMIZERS.module_dict)}'


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean {near[0]!r}?' if near else ''


def _number(key: str, value) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, Real):
        if value is not None:
            yield f'{key}={value!r}: a {type(value).__name__} was given, a number was expected'
    elif not math.isfinite(value) or value < 0:
        yield f'{key}={value}: a finite number, 0 or above, was expected'


def _whole_number(key: str, value, lowest: int) -> Iterator[str]:
    if value is not None and (isinstance(value, bool) or not isinstance(value, Integral) or value < lowest):
        yield f'{key}={value!r}: a whole number, {lowest} or above, was expected'


def _checkpoint_hook_problems(cfg: Config) -> Iterator[str]:
    """Misspelt options of the checkpoint hook, which takes any, and fails when it saves: after the first interval."""
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import Runner

    hook = (cfg.get('default_hooks') or {}).get('checkpoint')
    if not isinstance(hook, dict) or hook.get('type') not in ('CheckpointHook', 'mmengine.CheckpointHook'):
        return
    known = {*inspect.signature(CheckpointHook).parameters, *inspect.signature(Runner.save_checkpoint).parameters}
    known |= {'type', 'priority', '_delete_', '_scope_', 'file_client_args'}
    for key in hook:
        if key not in known:
            yield f'default_hooks.checkpoint.{key}: CheckpointHook has no such option{_near(key, known)}'
