"""Tells the teacher's cache how many images a run has, and the log how often the teacher ran."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.unwrap import unwrapped

__all__ = ['TeacherCacheHook']


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Does what ``teacher.cache`` asks of a run; nothing where there is none. Every run of ``DenseDistill`` has it."""

    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Says how many images there are, from which the cache knows how much space it is going to need."""
        cache = _cache_of(runner)
        if cache is not None:
            cache.images = len(runner.train_dataloader.dataset)

    def after_train(self, runner: Runner) -> None:
        """Says for how many images the teacher ran in this process."""
        cache = _cache_of(runner)
        if cache is not None:
            runner.logger.info(f'Teacher cache: {cache.read} images were read, for {cache.computed} the teacher ran')


def _cache_of(runner: Runner):
    return getattr(getattr(unwrapped(runner.model), 'teacher', None), 'cache', None)
