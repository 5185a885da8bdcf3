"""Validation of a student, and of its teacher once."""

from __future__ import annotations

from mmengine.runner import Runner, ValLoop

from mmkd.registry import LOOPS

from ..hooks import TeacherEvaluationHook

__all__ = ['DistillValLoop']


@LOOPS.register_module()
class DistillValLoop(ValLoop):
    """``ValLoop``, which evaluates the student; with ``evaluate_teacher`` also the teacher, once, before training.

    To be used where mmrazor has ``SingleTeacherDistillValLoop``.

    Args:
        runner: The runner.
        dataloader: A data loader or its config.
        evaluator: An evaluator or its config.
        fp16: Whether the student is evaluated in mixed precision. The teacher has its own precision.
        evaluate_teacher: Whether the teacher is evaluated, see :class:`TeacherEvaluationHook`.
    """

    def __init__(self, runner: Runner, dataloader, evaluator, fp16: bool = False, evaluate_teacher: bool = False):
        super().__init__(runner, dataloader, evaluator, fp16)
        if evaluate_teacher and not any(isinstance(hook, TeacherEvaluationHook) for hook in runner.hooks):
            runner.register_hook(TeacherEvaluationHook())
