"""The optimizers of a student and of its critic, from the student's own config and one key more."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict, build_optim_wrapper
from torch import Tensor, nn

from mmkd.registry import OPTIM_WRAPPER_CONSTRUCTORS

__all__ = ['DistillOptimWrapper', 'DistillOptimWrapperConstructor']

DEFAULT = 'DefaultOptimWrapperConstructor'


class DistillOptimWrapper(OptimWrapperDict):
    """Looks to a training loop like the student's wrapper alone, and has the critic make its step after each of it.

    (mmengine's own ``OptimWrapperDict`` refuses ``update_params``, so that a model with two optimizers would need a
    ``train_step`` of its own, and a DDP wrapper with another; and it leaves out the counting that gradient accumulation
    relies on.)

    The two are called ``student`` and ``discriminator`` where mmengine asks: a ``param_scheduler`` list applies to
    both, ``param_scheduler=dict(student=[...], discriminator=[...])`` gives each its own. The student's learning rate
    is logged as ``lr``, as without the critic.

    Args:
        algorithm: The ``AdversarialDistill``.
        student: Wraps the optimizer of the student and its connectors.
        discriminator: Wraps the critic's.
    """

    def __init__(self, algorithm: nn.Module, student: OptimWrapper, discriminator: OptimWrapper):
        super().__init__(student=student, discriminator=discriminator)
        self.algorithm = algorithm
        self.student = student
        self.discriminator = discriminator

    def update_params(self, loss: Tensor, step_kwargs: dict | None = None, zero_kwargs: dict | None = None) -> None:
        """The student's backward pass and, unless gradients are being accumulated, both steps."""
        self.student.update_params(loss, step_kwargs, zero_kwargs)
        self.algorithm.finish_iteration(self.discriminator, self.student.should_update())

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The student's precision, and its gradient accumulation. The critic has neither."""
        with self.student.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, cur_iter: int, max_iters: int) -> None:
        """Counts from ``cur_iter``, for gradient accumulation and for the iteration at which the critic begins."""
        self.student.initialize_count_status(model, cur_iter, max_iters)
        self.algorithm.begin(cur_iter)

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
            ValueError: The state is one of a run without a critic.
        """
        if set(state_dict) != {'student', 'discriminator'}:
            raise ValueError(
                'resume: the checkpoint is one of a run without a discriminator, and has no state for its optimizer; '
                'load_from=FILE with resume=False starts from its weights'
            )
        super().load_state_dict(state_dict)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DistillOptimWrapperConstructor:
    """Builds the two optimizers of ``AdversarialDistill``.

    The inherited ``optim_wrapper`` stays as it is and trains the student and the connectors; a distillation config adds
    ::

        optim_wrapper = dict(
            constructor='mmkd.DistillOptimWrapperConstructor',
            discriminator=dict(
                optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4), clip_grad=dict(max_norm=1.0)))

    Args:
        optim_wrapper_cfg: The student's wrapper: ``type``, ``optimizer``, ``clip_grad``, ``accumulative_counts`` ... To
            it belong, in addition, ``discriminator``, with the critic's ``optimizer`` and perhaps ``paramwise_cfg`` and
            ``clip_grad``; and ``student_constructor``, where the student's optimizer is to be built by another
            constructor than the default one.
        paramwise_cfg: The student's. Names are those of the whole algorithm, as in ``DenseDistill``.

    Raises:
        ValueError: The critic's optimizer is missing, or an option of it is one that only the student has.
    """

    def __init__(self, optim_wrapper_cfg: Mapping, paramwise_cfg: Mapping | None = None):
        student = dict(optim_wrapper_cfg)
        discriminator = student.pop('discriminator', None)
        if not isinstance(discriminator, Mapping) or not isinstance(discriminator.get('optimizer'), Mapping):
            raise ValueError(
                'optim_wrapper.discriminator: dict(optimizer=dict(type=..., lr=...)) was expected, got '
                f'{discriminator!r}'
            )
        if discriminator.get('type', 'OptimWrapper') != 'OptimWrapper':
            raise ValueError(
                'optim_wrapper.discriminator.type: the critic is trained in float32, by a plain OptimWrapper; got '
                f'{discriminator["type"]!r}'
            )
        if 'accumulative_counts' in discriminator:
            raise ValueError(
                'optim_wrapper.discriminator.accumulative_counts: the critic accumulates gradients as the student '
                'does; leave it out'
            )
        student['constructor'] = student.pop('student_constructor', DEFAULT)
        student['paramwise_cfg'] = paramwise_cfg
        self.student = student
        self.discriminator = dict(discriminator)

    def __call__(self, model: nn.Module) -> DistillOptimWrapper:
        """Builds both wrappers.

        Raises:
            TypeError: The model has no critic.
        """
        algorithm = model.module if is_model_wrapper(model) else model
        if not hasattr(algorithm, 'finish_iteration'):
            raise TypeError(
                "optim_wrapper.constructor: 'mmkd.DistillOptimWrapperConstructor' is for AdversarialDistill, the model "
                f'is a {type(algorithm).__name__}'
            )
        student = build_optim_wrapper(_without_child(algorithm, 'discriminator'), self.student)
        discriminator = build_optim_wrapper(algorithm.discriminator, self.discriminator)
        if discriminator.clip_grad_kwargs:
            discriminator.grad_name = f'discriminator.{discriminator.grad_name}'  # in the log
        algorithm.discriminator_trains = True
        return DistillOptimWrapper(algorithm, student, discriminator)


def _without_child(module: nn.Module, name: str) -> nn.Module:
    """The same module, not a copy of what is in it, seen without one of its children."""
    view = copy.copy(module)
    view.__dict__['_modules'] = {key: child for key, child in module._modules.items() if key != name}
    return view
