"""A file of the student alone beside every checkpoint."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.fileio import get_file_backend
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.state_dict import strip_prefix
from mmkd.utils.student import STUDENT_PREFIX, is_distillation, student_of
from mmkd.utils.unwrap import unwrapped

from .durable_checkpoint_hook import DurableCheckpointHook, write_file

__all__ = ['StudentCheckpointHook', 'student_run_config']


@HOOKS.register_module()
class StudentCheckpointHook(Hook):
    """Saves ``epoch_12_student.pth`` beside ``epoch_12.pth``, and so beside every other checkpoint of the run.

    The file has the student's weights under their plain names (the averaged ones with ``EMAHook``) and the run's meta
    data with the student's config in it. It loads strictly into the student's own config in mmdet or mmseg, where
    nothing of mmkd's distillation is imported. When a checkpoint is removed because newer or better ones are kept, its
    student goes too; one whose checkpoint the user has moved away stays.

    Every run of ``DenseDistill`` has this hook. It need only be written into a config for another ``suffix``, or for
    an algorithm of mmrazor.

    Runs that do not distil are left alone.

    Args:
        suffix: What is appended to the name of the checkpoint.
    """

    priority = 'VERY_LOW'  # after EMAHook has put the averaged weights into the checkpoint

    def __init__(self, suffix: str = '_student'):
        self.suffix = suffix
        self._student: dict[str, Any] | None = None
        self._distils = False
        self._config_text = ''

    def before_run(self, runner: Runner) -> None:
        """Finds out whether the run distils."""
        DurableCheckpointHook.take_over(runner)  # which says where something was saved
        model = unwrapped(runner.model)
        self._distils = any(name.startswith(STUDENT_PREFIX) for name, _ in model.named_parameters())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Takes the student out of what is about to be saved."""
        state_dict = strip_prefix(checkpoint['state_dict'], STUDENT_PREFIX) if self._distils else None
        if state_dict:
            self._config_text = self._config_text or student_run_config(runner.cfg).pretty_text  # takes a second
            meta = dict(checkpoint.get('meta', {}), cfg=self._config_text)
            self._student = dict(meta=meta, state_dict=state_dict)

    def after_save_checkpoint(self, runner: Runner, path: str, backend_args: dict | None) -> None:
        """Writes the student. Only the main process is told, so only one writes."""
        beside = self._path_beside(path)
        if self._distils and self._student is None and not get_file_backend(path).isfile(beside):
            self.before_save_checkpoint(runner, load_checkpoint_file(path))  # saved by a run that was killed then
        student, self._student = self._student, None
        if student is not None:
            buffer = io.BytesIO()
            torch.save(student, buffer)
            write_file(beside, buffer.getvalue(), backend_args)

    def after_remove_checkpoint(self, runner: Runner, path: str) -> None:
        """Removes the student of a checkpoint that was removed."""
        backend = get_file_backend(path)
        if self._distils and backend.isfile(self._path_beside(path)):
            backend.remove(self._path_beside(path))

    def _path_beside(self, path: str) -> str:
        stem, dot, extension = path.rpartition('.')
        return f'{stem}{self.suffix}{dot}{extension}' if dot else f'{path}{self.suffix}'


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
        'GradientShareHook',
        'SelfDistillValLoop',
        'SingleTeacherDistillValLoop',
        'StopDistillHook',
        'StudentCheckpointHook',
        'TeacherEvaluationHook',
        'TeacherCacheHook',
        'ValidationPanelsHook',
    )
