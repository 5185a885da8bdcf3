"""What the class logits of a head go through, softmax or sigmoid, read from the head; for the losses on logits."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ..losses.base import DistillationLoss
from .levels import Reading, readings_of

__all__ = ['head_activation', 'settle_activations']

# The arguments that losses on logits compare.
PREDICTIONS = dict(student='preds_S', teacher='preds_T')

# How the hosts call the loss of a head's class logits, and the layers that give the logits.
HEADS = {
    'loss_cls': r'\w+_cls(\.\d+)?|cls_logits',  # mmdet: conv_cls, retina_cls, multi_level_conv_cls.0, fc_cls ...
    'loss_mask': r'conv_logits',  # mmdet's mask heads
    'loss_decode': r'conv_seg|cls_seg|fc_seg',  # mmseg
}


def head_activation(model: nn.Module, source: str, data_idx: int | None = None) -> str | None:
    """The activation that the logits of a tap are trained with, as the head's loss says.

    Known are the class logits of mmdet's dense, box and mask heads and of mmseg's decode heads: of the layer that gives
    them, or of the head as a whole, whose first output they are.

    Args:
        model: The network.
        source: The tap: a module of it, or a method of one.
        data_idx: Which of the several outputs of the tap is meant.

    Returns:
        ``'softmax'`` or ``'sigmoid'``; None where it is not known.
    """
    found = _head_of(model, source)
    if found is None:
        return None
    head, loss, inside = found
    if not (re.fullmatch(HEADS[loss], inside) or (not inside and not data_idx)):
        return None
    if loss == 'loss_decode' and getattr(head, 'out_channels', None) == 1:
        return 'sigmoid'  # mmseg's way with a single class, whatever the loss is
    losses = getattr(head, loss)
    activations = {_activation_of(part) for part in (losses if isinstance(losses, nn.ModuleList) else [losses])}
    activation = activations.pop() if len(activations) == 1 else None
    # Behind a softmax, the classes of several anchors lie one after the other in the channels of the map.
    return None if activation == 'softmax' and getattr(head, 'num_base_priors', 1) != 1 else activation


def _head_of(model: nn.Module, source: str) -> tuple[nn.Module, str, str] | None:
    """The innermost module around a tap that has a loss of class logits, the name of that, and the tap's name in it."""
    names = source.removesuffix('.forward').split('.')
    for depth in range(len(names), -1, -1):
        module = _submodule(model, names[:depth])
        for loss in HEADS:
            if getattr(module, loss, None) is not None:
                return module, loss, '.'.join(names[depth:])
    return None


def _submodule(model: nn.Module, names: list[str]) -> nn.Module | None:
    module: Any = model
    for name in names:
        module = getattr(module, name, None)
    return module


def _activation_of(loss: Any) -> str | None:
    if getattr(loss, 'custom_activation', False):  # SeesawLoss has a softmax and an objectness besides
        return None
    use_sigmoid = getattr(loss, 'use_sigmoid', None)
    if use_sigmoid is None:
        return None
    return 'sigmoid' if use_sigmoid or getattr(loss, 'use_mask', False) else 'softmax'


def settle_activations(distiller: nn.Module, student: nn.Module, teacher: nn.Module) -> None:
    """Puts the activation of the student's head in the place of ``activation='auto'``, and warns of others than it.

    Args:
        distiller: mmrazor's ``ConfigurableDistiller``, or ours.
        student: The student.
        teacher: The teacher, whose head may have been trained otherwise.

    Raises:
        ValueError: The head of the student does not say what its logits go through.
    """
    for key, readings in readings_of(distiller).items():
        name = getattr(distiller, 'names', {}).get(key, f'distill.{key}')
        taps = {side: readings.get(argument, ()) for side, argument in PREDICTIONS.items()}
        for loss in distiller.distill_losses[key].modules():
            if not isinstance(loss, DistillationLoss) or loss.activation is None:
                continue
            if loss.activation == 'auto':
                loss.activation = _of_student(name, _activations(taps['student'], student))
            for side, model in (('student', student), ('teacher', teacher)):
                _warn_if_other(name, loss, side, _activations(taps[side], model))


def _of_student(name: str, found: Mapping[str, str | None]) -> str:
    if len(set(found.values())) == 1 and None not in found.values():
        return next(iter(found.values()))
    taps = ' and '.join(map(repr, found)) or 'logits'
    raise ValueError(
        f"{name}.loss.activation: 'auto' was given, and what the student's {taps} go through cannot be read from its "
        "head: activation='softmax' (one class out of several) or "
        "activation='sigmoid' (each class by itself) was expected, as the head was trained"
    )


def _activations(readings: Iterable[Reading], model: nn.Module) -> dict[str, str | None]:
    """What the taps of one side, which a loss compares, go through."""
    return {
        reading.source: head_activation(model, reading.source, reading.data_idx)
        if reading.recorder.kind == 'ModuleOutputs'
        else None
        for reading in readings
    }


def _warn_if_other(name: str, loss: DistillationLoss, side: str, found: Mapping[str, str | None]) -> None:
    others = [source for source, activation in found.items() if activation not in (None, loss.activation)]
    if others:
        print_log(
            f"{name}: {type(loss).__name__} puts a {loss.activation} on the logits of the {side}'s {others[0]!r}, a "
            f"head that was trained with a {found[others[0]]}; activation='auto' takes what the student's head has",
            logger='current',
            level=logging.WARNING,
        )
