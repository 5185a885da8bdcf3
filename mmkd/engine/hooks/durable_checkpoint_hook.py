"""Checkpoints of a run that may be killed at any moment."""

from __future__ import annotations

import functools
import os
from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.files import written_whole

__all__ = ['DurableCheckpointHook', 'write_file']


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """``CheckpointHook``, with its options, in an order in which a run that is killed can always be resumed.

    The new checkpoint is written under another name, flushed to the disk and renamed; then ``last_checkpoint`` is
    written, in the same way; then the student's file; and the checkpoints that are not to be kept any longer go last.
    (mmengine's hook removes them first and writes under the final names: a run killed meanwhile may be left with no
    checkpoint, with half of one, or with a ``last_checkpoint`` that names a file which is gone.)

    It takes the place of ``CheckpointHook`` in all runs of mmkd's tools and of ``DenseDistill``.

    Other hooks that have the methods hear of it: ``after_save_checkpoint(runner, path, backend_args)`` whenever anyone
    has saved a checkpoint in this run, and of the one from which it is resumed, since the run may have been killed
    before; ``after_remove_checkpoint(runner, path)`` when this hook removes one. Both are called in the main process
    only.
    """

    @classmethod
    def take_over(cls, runner: Runner) -> None:
        """Turns every ``CheckpointHook`` of a run into one of this class; a second call changes nothing.

        Runs of ``FlexibleRunner``, whose strategies save in ways of their own, are left alone.
        """
        if not isinstance(runner, Runner):
            return
        for hook in runner.hooks:
            if type(hook) is CheckpointHook:  # a subclass has its own ways
                hook.__class__ = cls  # with all options it was built with, also those of other versions of mmengine
        _save_whole(runner)

    def before_train(self, runner: Runner) -> None:
        """Does what a killed run had not come to: announces its last checkpoint, and removes those not to be kept."""
        surplus = []
        if self.max_keep_ckpts > 0:
            steps = runner.message_hub.runtime_info.get('keep_ckpt_ids', [])
            surplus, kept = steps[: -self.max_keep_ckpts], steps[-self.max_keep_ckpts :]
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        super().before_train(runner)
        resumed = os.path.abspath(runner._load_from) if runner._resume and runner._load_from else ''
        if os.path.dirname(resumed) == self.out_dir and is_main_process():
            self.last_ckpt = resumed
            runner.call_hook('after_save_checkpoint', path=resumed, backend_args=self.backend_args)
        self._remove(runner, [self._path_of(step) for step in surplus])

    def after_save_checkpoint(self, runner: Runner, path: str, backend_args: dict | None) -> None:
        """Points to the checkpoint, if it is one to resume from and not one of the best."""
        if path == self.last_ckpt:
            write_file(Path(runner.work_dir, 'last_checkpoint'), path.encode())

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        steps = []
        if self.max_keep_ckpts > 0:
            steps = [kept for kept in self.keep_ckpt_ids if kept != step] + [step]
            # saved with those that are not to be kept, so that a run that is killed now removes them when resumed
            runner.message_hub.update_info('keep_ckpt_ids', steps)
        self.last_ckpt = self._path_of(step)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if self.max_keep_ckpts > 0:
            self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
            self._remove(runner, [self._path_of(kept) for kept in steps if kept not in self.keep_ckpt_ids])

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        several = vars(self).get('best_ckpt_path_dict', {})
        slots = [(several, name) for name in several] or [(vars(self), 'best_ckpt_path')]
        before = [owner.get(name) for owner, name in slots]
        for owner, name in slots:
            owner[name] = None  # then mmengine removes none of them
        super()._save_best_checkpoint(runner, metrics)
        for (owner, name), path in zip(slots, before, strict=True):
            if owner[name] is None:
                owner[name] = path
            elif path and path != owner[name]:
                self._remove(runner, [path])

    def _path_of(self, step: int) -> str:
        return self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))

    def _remove(self, runner: Runner, paths) -> None:
        if not is_main_process():
            return
        for path in paths:
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):
                self.file_backend.rmtree(path)
            runner.call_hook('after_remove_checkpoint', path=path)


def write_file(path: str | Path, data: bytes, backend_args: dict | None = None) -> None:
    """Writes a file, on a disk as a whole or not at all."""
    backend = get_file_backend(str(path), backend_args=backend_args)
    if isinstance(backend, LocalBackend):
        with written_whole(path) as part:
            backend.put(data, part)
    else:
        backend.put(data, str(path))


def _save_whole(runner: Runner) -> None:
    """Has every checkpoint of a run, whoever saves it, written as a whole, and announced."""
    save = runner.save_checkpoint
    if getattr(save, 'saves_whole', False):
        return

    @functools.wraps(save)
    def save_checkpoint(out_dir: str, filename: str, file_client_args: dict | None = None, *args, **kwargs) -> None:
        if not is_main_process():  # as in mmengine, where only this process saves
            return
        backend_args = kwargs.get('backend_args')
        backend = get_file_backend(out_dir, backend_args=backend_args)
        path = backend.join_path(out_dir, filename)
        if file_client_args is None and isinstance(backend, LocalBackend):
            with written_whole(path) as part:
                save(str(part.parent), part.name, None, *args, **kwargs)
        else:
            save(out_dir, filename, file_client_args, *args, **kwargs)
        runner.call_hook('after_save_checkpoint', path=path, backend_args=backend_args)

    save_checkpoint.saves_whole = True
    runner.save_checkpoint = save_checkpoint
