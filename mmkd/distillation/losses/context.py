"""What a loss may look at beside the maps it compares, and how it asks for it: by the names in its ``forward``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

__all__ = ['LossContext', 'asked_for', 'takes_all_levels']

ALL_LEVELS = 'levels_S'


@dataclass(frozen=True)
class LossContext:
    """What surrounds the losses of one batch.

    A loss asks for any of it by naming it in the signature of its ``forward``: ``def forward(self, preds_S, preds_T,
    data_samples, iteration)``. What it cannot do without has no default. What it looks at only if an option says so has
    the default None, which it is left at where there is nothing to give, as the data samples of images without labels.

    Attributes:
        student: The student.
        teacher: The ``FrozenTeacher``; its network is ``teacher.model``.
        images: The batch (N, 3, H, W), normalised for the student.
        data_samples: Those of the batch, with the ground truth; None for images without labels.
        iteration: The number of the iteration in the run, from 0; None outside of a run.
        discriminator: The ``Adversary`` of ``AdversarialDistill``.

    Example:
        >>> from mmkd.distillation.losses import FGDLoss
        >>> LossContext(iteration=7, data_samples=[]).arguments(FGDLoss(global_weight=0))
        {'data_samples': []}
    """

    student: nn.Module | None = None
    teacher: Any = None
    images: Tensor | None = None
    data_samples: Sequence | None = None
    iteration: int | None = None
    discriminator: Any = None

    def arguments(self, loss: nn.Module, given: Iterable[str] = ()) -> dict[str, Any]:
        """What a loss asks for, beside the arguments that it is given anyway.

        Raises:
            ValueError: It needs something that there is not.
        """
        found = {}
        for name, required in asked_for(loss).items():
            if name not in FIELDS or name in given:
                continue
            value = getattr(self, name)
            if value is not None:
                found[name] = value
            elif required:
                raise ValueError(f'{type(loss).__name__} needs {name}, and there are none')
        return found


FIELDS = tuple(field.name for field in fields(LossContext))


def asked_for(loss: nn.Module | type) -> dict[str, bool]:
    """The arguments of a loss, in order, and whether each has to be given.

    A loss around another, which it holds as ``loss`` and hands ``**more`` on to, asks for what that one asks for.
    """
    parameters = list(inspect.signature(loss.forward).parameters.values())
    further = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != 'self']
    arguments = {parameter.name: parameter.default is parameter.empty for parameter in named}
    if further and isinstance(getattr(loss, 'loss', None), nn.Module):
        inner = list(asked_for(loss.loss).items())
        arguments.update({name: required for name, required in inner[2:] if name not in arguments})
    return arguments


def takes_all_levels(loss: nn.Module) -> bool:
    """Whether a loss is called once with the lists of all levels, as ``levels_S`` and ``levels_T``, and not for each.

    That is for a loss with parameters for each level, or one denominator over all. It may return several losses, as a
    dict.
    """
    inner = getattr(loss, 'loss', None)
    return ALL_LEVELS in asked_for(loss) or (isinstance(inner, nn.Module) and takes_all_levels(inner))
