"""Stops the distillation of a run, for a last phase in which the student learns from the labels alone."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.unwrap import unwrapped

__all__ = ['StopDistillHook']


@HOOKS.register_module()
class StopDistillHook(Hook):
    """Stops the distillation at an epoch or an iteration; from there on the teacher is not run.

    It takes the place of mmrazor's hook of this name, in configs too (``type='mmrazor.StopDistillHook'``): that one
    looks at the number of the epoch, which stays 0 in an iteration-based loop. Here an epoch of such a loop is as many
    iterations as the data loader has batches.

    Args:
        stop_epoch: The first epoch, from 0, without distillation.
        stop_iter: The first iteration, from 0, without distillation; in place of ``stop_epoch``.

    Raises:
        ValueError: None or both of the two are given, or it is no number.
    """

    priority = 'LOW'

    def __init__(self, stop_epoch: int | None = None, stop_iter: int | None = None):
        if (stop_epoch is None) == (stop_iter is None):
            given = 'none' if stop_iter is None else 'both'
            raise ValueError(f'StopDistillHook: stop_epoch, stop_iter: one of the two was expected, got {given}')
        for key, value in (('stop_epoch', stop_epoch), ('stop_iter', stop_iter)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                unit = 'epochs' if key == 'stop_epoch' else 'iterations'
                raise ValueError(f'StopDistillHook.{key}: a number of {unit}, from 0, was expected, got {value!r}')
        self.stop_epoch = stop_epoch
        self.stop_iter = stop_iter

    def before_train(self, runner: Runner) -> None:
        """Looks whether there is anything to stop.

        Raises:
            ValueError: The model is no distillation algorithm.
        """
        model = unwrapped(runner.model)
        if not hasattr(model, 'distillation_stopped'):
            raise ValueError(
                f'StopDistillHook: an algorithm such as DenseDistill was expected, got {type(model).__name__}'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Stops the distillation once it is time, in a resumed run at once."""
        model = unwrapped(runner.model)
        if not model.distillation_stopped and runner.iter >= self._first_iteration(runner):
            model.distillation_stopped = True
            runner.logger.info(f'Distillation has been stopped, before iteration {runner.iter + 1}.')

    def _first_iteration(self, runner: Runner) -> int:
        return self.stop_epoch * len(runner.train_dataloader) if self.stop_iter is None else self.stop_iter
