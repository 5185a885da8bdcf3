"""The teacher's own numbers, once."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmkd.distillation.teacher.isolation import preserve_rng_state
from mmkd.registry import HOOKS
from mmkd.utils.unwrap import unwrapped

__all__ = ['TeacherEvaluationHook']


@HOOKS.register_module()
class TeacherEvaluationHook(Hook):
    """Evaluates the teacher before training, on the validation data, and puts its metrics beside the student's.

    The teacher never changes, so once is enough: its metrics, named ``teacher/<metric>``, are repeated with every
    validation of the student. No other hook is called while it is evaluated. (mmrazor's loop evaluates it each time,
    and calls ``before_val_epoch`` a second time, upon which ``EMAHook`` swaps the weights once too often.)
    """

    priority = 'HIGHEST'  # before RuntimeInfoHook and LoggerHook read the metrics

    def __init__(self):
        self.metrics: dict[str, float] | None = None

    def before_train(self, runner: Runner) -> None:
        """Evaluates the teacher."""
        if runner.val_loop is not None:
            self.evaluate(runner)

    def before_val(self, runner: Runner) -> None:
        """Evaluates the teacher where there is no training."""
        self.evaluate(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Adds the teacher's metrics to the student's."""
        if metrics is not None:
            metrics.update(self.metrics or {})

    @torch.no_grad()
    def evaluate(self, runner: Runner, loop: BaseLoop | None = None) -> dict[str, float]:
        """The teacher's metrics, by ``teacher/<name>``; computed at the first call.

        Args:
            runner: The run.
            loop: Its data and its evaluator are used; default the validation loop.

        Raises:
            TypeError: The model has no teacher.
        """
        if self.metrics is not None:
            return self.metrics
        model = unwrapped(runner.model)
        teacher = getattr(model, 'teacher', None)
        if teacher is None:
            raise TypeError(f'TeacherEvaluationHook: a model with a teacher was expected, got {type(model).__name__}')
        loop = loop or runner.val_loop
        with preserve_rng_state():  # a data loader draws a seed each time it is run through
            for batch in loop.dataloader:
                loop.evaluator.process(data_samples=teacher.val_step(batch), data_batch=batch)
        metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        self.metrics = {f'teacher/{name}': value for name, value in metrics.items()}
        shown = ', '.join(f'{name}: {value:.4g}' for name, value in self.metrics.items() if isinstance(value, float))
        runner.logger.info(f'The teacher: {shown or self.metrics}')
        return self.metrics
