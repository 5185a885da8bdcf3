"""The thin module around a loss function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .functional import check_weight

Levels = Tensor | Sequence[Tensor]


class DistillationLoss(nn.Module):
    """Keeps a loss function's options and applies it to one pair of tensors, or to each level of two lists of them.

    A subclass writes out its options in ``__init__``, hands them to this one, and calls :meth:`weigh` in ``forward``.
    ``forward`` names its inputs ``preds_S`` and ``preds_T``, as mmrazor's losses do.

    What else it gets, it asks for in the signature of ``forward``: see :class:`LossContext`, and
    :func:`takes_all_levels` for all levels at once.

    Attributes:
        activation: What a loss on class logits takes them through: ``'softmax'``, ``'sigmoid'``, or ``'auto'``, in the
            place of which the algorithm sets the one of the student's head before training. None for other losses.

    Args:
        loss_weight: Factor on the loss, at least 0.
        **options: Passed on to the loss function in every call.

    Raises:
        ValueError: ``loss_weight`` is no finite number of at least 0.
    """

    activation: str | None = None

    def __init__(self, loss_weight: float = 1.0, **options):
        super().__init__()
        check_weight(f'{type(self).__name__}: loss_weight', loss_weight)
        self.loss_weight = loss_weight
        self.options = options

    def weigh(self, function: Callable[..., Tensor], preds_S: Levels, preds_T: Levels, **more) -> Tensor:
        """``loss_weight`` times the loss, a scalar. Of lists: the mean over the levels, each with its item of ``more``.

        Raises:
            TypeError: one of ``preds_S`` and ``preds_T`` is a list and the other is not.
            ValueError: they have different numbers of levels, or none.
        """
        if isinstance(preds_S, Tensor) and isinstance(preds_T, Tensor):
            return self.loss_weight * function(preds_S, preds_T, **self.options, **more)
        losses = [
            function(student, teacher, **self.options, **{k: v if v is None else v[i] for k, v in more.items()})
            for i, (student, teacher) in enumerate(self.pairs(preds_S, preds_T))
        ]
        return self.loss_weight * torch.stack(losses).mean()

    def pairs(self, preds_S: Levels, preds_T: Levels) -> list[tuple[Tensor, Tensor]]:
        """Student and teacher of each level; of two tensors, the one pair.

        Raises:
            TypeError: one of ``preds_S`` and ``preds_T`` is a list and the other is not.
            ValueError: they have different numbers of levels, or none.
        """
        name = type(self).__name__
        if isinstance(preds_S, Tensor) != isinstance(preds_T, Tensor):
            raise TypeError(
                f'{name}: expected two tensors or two lists of level tensors, '
                f'but preds_S is a {type(preds_S).__name__} and preds_T a {type(preds_T).__name__}'
            )
        if isinstance(preds_S, Tensor):
            return [(preds_S, preds_T)]
        if len(preds_S) != len(preds_T) or not len(preds_S):
            raise ValueError(f'{name}: preds_S has {len(preds_S)} levels and preds_T has {len(preds_T)}')
        return list(zip(preds_S, preds_T, strict=True))

    def extra_repr(self) -> str:
        return ', '.join(f'{key}={value!r}' for key, value in {**self.options, 'loss_weight': self.loss_weight}.items())
