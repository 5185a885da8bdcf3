"""A file of the student alone beside every checkpoint."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.checkpoint import strip_prefix
from mmkd.utils.student import STUDENT_PREFIX, is_distillation, student_of

__all__ = ['StudentCheckpointHook', 'student_run_config']

WRITTEN = 'student_checkpoints'  # what the message hub, saved with the run, knows the written files by


@HOOKS.register_module()
class StudentCheckpointHook(Hook):
    """Saves ``epoch_12_student.pth`` beside ``epoch_12.pth``, and so beside every other checkpoint of the run.

    The file has the student's weights under their plain names (the averaged ones with ``EMAHook``) and the run's meta
    data with the student's config in it. It loads strictly into the student's own config in mmdet or mmseg, where
    nothing of mmkd's distillation is imported. Once ``CheckpointHook`` has removed a checkpoint, its student goes too.
    To be added to ``default_hooks``, where a list of custom hooks does not replace it::

        default_hooks = dict(student_checkpoint=dict(type='mmkd.StudentCheckpointHook'))

    Runs that do not distil are left alone.

    Args:
        suffix: What is appended to the name of the checkpoint.
    """

    priority = 'VERY_LOW'  # after EMAHook has put the averaged weights into the checkpoint

    def __init__(self, suffix: str = '_student'):
        self.suffix = suffix
        self._student: dict[str, Any] | None = None
        self._config_text = ''

    def before_train(self, runner: Runner) -> None:
        """Has a student written after each checkpoint. (Hooks see what is saved, but not where.)"""
        save = runner.save_checkpoint
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        distils = any(name.startswith(STUDENT_PREFIX) for name, _ in model.named_parameters())
        if not distils or getattr(save, 'saves_student', False):
            return
        self._config_text = student_run_config(runner.cfg).pretty_text  # takes a second, so only once

        @functools.wraps(save)
        def save_checkpoint(out_dir: str, filename: str, *args, **kwargs) -> None:
            self._remove_orphans(runner, out_dir)
            name = self._name_beside(filename)
            written = [n for n in runner.message_hub.runtime_info.get(WRITTEN, []) if n != name]
            runner.message_hub.update_info(WRITTEN, [*written, name])
            save(out_dir, filename, *args, **kwargs)
            student, self._student = self._student, None
            if student is not None:
                _write(student, out_dir, name, kwargs.get('backend_args'))

        save_checkpoint.saves_student = True
        runner.save_checkpoint = save_checkpoint

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Takes the student out of what is about to be saved."""
        state_dict = strip_prefix(checkpoint['state_dict'], STUDENT_PREFIX)
        if state_dict:
            meta = dict(checkpoint.get('meta', {}), cfg=self._config_text)
            self._student = dict(meta=meta, state_dict=state_dict)

    def _name_beside(self, filename: str) -> str:
        path = Path(filename)
        return f'{path.stem}{self.suffix}{path.suffix}'

    def _remove_orphans(self, runner: Runner, out_dir: str) -> None:
        """Removes the students of the checkpoints that ``CheckpointHook`` has removed.

        Where it removes none, a checkpoint that is gone was removed by hand, and its student perhaps kept on purpose.
        """
        hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        if not any(hook.max_keep_ckpts > 0 or hook.save_best for hook in hooks):
            return
        backend = get_file_backend(out_dir)
        kept = []
        for name in runner.message_hub.runtime_info.get(WRITTEN, []):
            path = Path(name)
            checkpoint = f'{path.stem.removesuffix(self.suffix)}{path.suffix}'
            if backend.isfile(backend.join_path(out_dir, checkpoint)):
                kept.append(name)
            elif backend.isfile(backend.join_path(out_dir, name)):
                backend.remove(backend.join_path(out_dir, name))
        runner.message_hub.update_info(WRITTEN, kept)


def student_run_config(cfg: Config) -> Config:
    """The config of a run with the plain student in place of the algorithm, without what only distillation needs."""
    if not isinstance(cfg.get('model'), Mapping) or not is_distillation(cfg.model):
        return cfg
    plain = student_of(cfg)
    if plain.get('default_hooks'):
        plain.default_hooks = {k: v for k, v in plain.default_hooks.items() if not _is_for_distillation(v)}
    if plain.get('custom_hooks'):
        plain.custom_hooks = [hook for hook in plain.custom_hooks if not _is_for_distillation(hook)]
    if _is_for_distillation(plain.get('val_cfg')):
        plain.val_cfg = dict(type='ValLoop')
    _drop_discriminator(plain)
    return plain


def _drop_discriminator(plain: Config) -> None:
    """Leaves the student's optimizer as it was before a discriminator's was put beside it."""
    wrapper = plain.get('optim_wrapper') or {}
    if not _is_for_distillation(dict(type=wrapper.get('constructor'))):
        return
    wrapper.pop('discriminator', None)
    wrapper.pop('constructor')
    if 'student_constructor' in wrapper:
        wrapper.constructor = wrapper.pop('student_constructor')
    schedulers = plain.get('param_scheduler')
    if isinstance(schedulers, Mapping) and 'student' in schedulers:
        plain.param_scheduler = schedulers['student']


def _is_for_distillation(part: Any) -> bool:
    kind = str(part.get('type')) if isinstance(part, Mapping) else ''
    return kind.split('.')[-1] in (
        'DistillOptimWrapperConstructor',
        'DistillValLoop',
        'FiniteLossHook',
        'SelfDistillValLoop',
        'SingleTeacherDistillValLoop',
        'StopDistillHook',
        'StudentCheckpointHook',
        'TeacherEvaluationHook',
    )


def _write(checkpoint: dict, out_dir: str, name: str, backend_args: dict | None) -> None:
    """Writes a file that is there as a whole or not at all, where the storage is a disk."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    backend = get_file_backend(out_dir, backend_args=backend_args)
    path = backend.join_path(out_dir, name)
    if not isinstance(backend, LocalBackend):
        backend.put(buffer.getvalue(), path)
        return
    part = f'{path}.part'
    backend.put(buffer.getvalue(), part)
    os.replace(part, path)
