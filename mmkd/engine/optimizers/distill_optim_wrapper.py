"""The optimizers of a student and of its discriminator, where a training loop expects one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmkd.distillation.discriminators.adversary import Adversary

__all__ = ['DistillOptimWrapper']


class DistillOptimWrapper(OptimWrapperDict):
    """Looks to a training loop like the student's wrapper alone; the discriminator makes a step after each of it.

    (mmengine's own ``OptimWrapperDict`` refuses ``update_params``, so that a model with two optimizers would need a
    ``train_step`` of its own, and a DDP wrapper with another; and it leaves out the counting that gradient accumulation
    relies on.)

    The two are called ``student`` and ``discriminator`` where mmengine asks: a ``param_scheduler`` list applies to
    both, ``param_scheduler=dict(student=[...], discriminator=[...])`` gives each its own. The student's learning rate
    is logged as ``lr``, as without the discriminator.

    Args:
        student: Wraps the optimizer of the student and its connectors.
        discriminator: Wraps the discriminator's.
        adversary: What makes the discriminator's step.
    """

    def __init__(self, student: OptimWrapper, discriminator: OptimWrapper, adversary: Adversary):
        super().__init__(student=student, discriminator=discriminator)
        self.student = student
        self.discriminator = discriminator
        self.adversary = adversary
        adversary.trains = True

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """The student's backward pass and, unless gradients are being accumulated, both steps."""
        self.student.update_params(loss, step_kwargs, zero_kwargs)
        self.adversary.finish_iteration(self.discriminator, self.student.should_update())

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The student's precision, and its gradient accumulation. The discriminator has neither."""
        with self.student.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Counts from ``cur_iter``, for gradient accumulation and for the beginning of the game."""
        self.student.initialize_count_status(model, cur_iter, max_iters)
        self.adversary.begin(cur_iter)

    def should_update(self) -> bool:
        """Whether the student made a step, not only a backward pass, in this iteration."""
        return self.student.should_update()

    def should_sync(self) -> bool:
        """Whether the student is about to make a step."""
        return self.student.should_sync()

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The share of a loss when gradients are accumulated."""
        return self.student.scale_loss(loss)

    @property
    def inner_count(self) -> int:
        """The number of backward passes of the student."""
        return self.student.inner_count

    def get_lr(self) -> dict[str, list[float]]:
        """``lr`` (and ``base_lr``, where it has parameter groups) of the student, and ``discriminator.lr``."""
        return {**self.student.get_lr(), 'discriminator.lr': self.discriminator.get_lr()['lr']}

    def get_momentum(self) -> dict[str, list[float]]:
        """``momentum`` of the student, and ``discriminator.momentum``."""
        momentum = self.discriminator.get_momentum()['momentum']
        return {**self.student.get_momentum(), 'discriminator.momentum': momentum}

    def load_state_dict(self, state_dict: dict) -> None:
        """Loads the states of both.

        Raises:
            ValueError: The state is one of a run without a discriminator.
        """
        if set(state_dict) != {'student', 'discriminator'}:
            raise ValueError(
                'resume: the checkpoint is one of a run without a discriminator, and has no state for its optimizer; '
                'load_from=FILE with resume=False starts from its weights'
            )
        super().load_state_dict(state_dict)
