"""What of a network can be compared with another one's: its maps by stride, its class logits, what is before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..teacher.isolation import evaluating, preserve_rng_state, run_as_in_training
from ..teacher.network import device_of, run_network
from .activation import head_activation
from .dummy_batch import dummy_batch
from .levels import tensors_in
from .survey import stride_of
from .tap import on_return

__all__ = ['Level', 'Maps', 'Outline', 'outline']

LOGIT_LAYERS = ('conv_seg', 'cls_seg', 'fc_seg')  # of mmseg's decode heads
PIXEL_DECODERS = ('panoptic_head.pixel_decoder',)  # of mask transformers, which have no neck


@dataclass(frozen=True)
class Level:
    """One map of a tap: its place among the levels, pixels of the image a step, channels, height and width."""

    index: int
    stride: float
    channels: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Maps:
    """What one tap gives: the tap as ``taps`` of a loss takes it, and its levels."""

    tap: str | dict[str, Any]
    levels: tuple[Level, ...]

    @property
    def one(self) -> bool:
        """Whether the tap gives a single map, not a sequence of them."""
        return len(self.levels) == 1


@dataclass(frozen=True)
class Outline:
    """What of a network can be compared.

    Attributes:
        kind: ``'detector'``, ``'query detector'``, ``'segmentor'``, ``'depth'`` or ``'network'``.
        features: The last maps before the heads, of several strides where there are several; None: there are none.
        logits: Class logits that stand for the image: of a dense head, or of a segmentor.
        before_logits: The map that a segmentor's logits, or depths, are computed from.
        tokens: What the encoder of a query detector gives.
        num_classes: Of the head; None where it does not say.
        num_priors: How many anchors a place has.
        activation: What the logits go through.
    """

    kind: str
    features: Maps | None = None
    logits: Maps | None = None
    before_logits: Maps | None = None
    tokens: Maps | None = None
    num_classes: int | None = None
    num_priors: int = 1
    activation: str | None = None


@dataclass
class _Seen:
    """What was seen of a network in one forward: the first output, or input, of each tap that it reached."""

    outputs: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    hooked: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    order: list[str] = field(default_factory=list)


def outline(model: nn.Module, size: Sequence[int], as_student: bool = False) -> Outline:
    """Looks at a network while it runs on a made-up image.

    A student is looked at in training mode as well: some backbones give further, auxiliary maps there (PIDNet, DDRNet),
    and what is tapped is what they give in testing.

    Args:
        model: The network, with any weights.
        size: Height and width of the image.
        as_student: Whether it is to be trained.

    Raises:
        ValueError: It cannot run, and nothing of it was reached.
    """
    seen = _look(model, size, lambda run: _evaluating(model, run))
    if as_student:
        seen = _past_auxiliary_maps(seen, _look(model, size, lambda run: run_as_in_training(model, run)))
    kind, head = kind_of(model), _decode_head(model)
    features = _features(model, seen, size)
    found = dict(kind=kind, features=features, num_classes=_num_classes(model, head))
    if head is not None:
        found.update(_of_decode_head(model, head, seen, size))
    elif kind == 'detector':
        found.update(_of_dense_head(model, seen, size))
    elif kind == 'query detector':
        found.update(tokens=_tokens(seen))
    return Outline(**found)


def kind_of(model: nn.Module) -> str:
    """What a network is for, by the parts that it has."""
    children = dict(model.named_children())
    if any(cls.__name__ == 'DepthEstimator' for cls in type(model).__mro__):  # mmseg's
        return 'depth'
    if 'decode_head' in children:
        return 'segmentor'
    if {'encoder', 'decoder'} <= children.keys():
        return 'query detector'
    return 'detector' if any(name.endswith('head') for name in children) else 'network'


# ---- looking ---------------------------------------------------------------------------------------------------------


def _evaluating(model: nn.Module, run: Callable[[], None]) -> None:
    with evaluating(model):
        run()


def _look(model: nn.Module, size: Sequence[int], running: Callable[[Callable[[], None]], None]) -> _Seen:
    seen = _Seen()
    image, samples = dummy_batch(size, device_of(model))
    image = image.requires_grad_().clone()  # what does not depend on it, as positions, is told by its gradient
    with preserve_rng_state(), torch.enable_grad(), _watching(model, seen):
        try:
            running(lambda: run_network(model, image, samples, 'tensor'))
        except Exception as error:  # a head may need what there is not; the maps before it were seen
            body = {'backbone', 'neck'} & dict(model.named_children()).keys()
            if not seen.outputs or not body <= seen.outputs.keys():
                raise ValueError(
                    f'on an image of {tuple(size)} {type(model).__name__} fails with {type(error).__name__}: {error}'
                ) from error
    return seen


@contextmanager
def _watching(model: nn.Module, seen: _Seen) -> Iterator[None]:
    def output(name: str, value: Any) -> None:
        seen.calls[name] += 1
        if name not in seen.outputs:
            seen.outputs[name] = value
            seen.order.append(name)

    with ExitStack() as stack:
        for name, module in _candidates(model):
            stack.callback(module.register_forward_pre_hook(partial(_note_input, seen, name)).remove)
            stack.enter_context(on_return(module, 'forward', partial(output, name)))
        yield


def _note_input(seen: _Seen, name: str, module: nn.Module, args: tuple) -> None:
    seen.hooked.add(name)
    seen.inputs.setdefault(name, args[0] if args else None)


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from model.named_children()
    for name in PIXEL_DECODERS:
        parent, _, child = name.rpartition('.')
        if parent in dict(model.named_children()) and hasattr(model.get_submodule(parent), child):
            yield name, model.get_submodule(name)
    head = _decode_head(model)
    if head is not None:
        for name, module in model.get_submodule(head).named_children():
            yield f'{head}.{name}', module


def _decode_head(model: nn.Module) -> str | None:
    """The name of the decode head, of a cascade of them the last."""
    head = getattr(model, 'decode_head', None)
    if not isinstance(head, nn.Module):
        return None
    return f'decode_head.{len(head) - 1}' if isinstance(head, nn.ModuleList) else 'decode_head'


def _past_auxiliary_maps(testing: _Seen, training: _Seen) -> _Seen:
    """What training gives, each output with the maps alone that testing gives, under their places in training."""
    for name, output in training.outputs.items():
        maps, wanted = _maps(output), _maps(testing.outputs.get(name))
        if len(maps) > len(wanted) > 0:
            training.outputs[name] = [item if _is_among(item, wanted) else None for item in _last_of_each_shape(maps)]
    return training


def _last_of_each_shape(maps: list[Tensor]) -> list[Tensor | None]:
    shapes = [item.shape for item in maps]
    return [item if item.shape not in shapes[i + 1 :] else None for i, item in enumerate(maps)]


def _is_among(item: Tensor | None, wanted: list[Tensor]) -> bool:
    return item is not None and any(item.shape == other.shape for other in wanted)


# ---- what was seen ---------------------------------------------------------------------------------------------------


def _maps(value: Any) -> list[Tensor]:
    return [tensor for tensor in tensors_in(value) if tensor.dim() == 4]


def _as_levels(value: Any, size: Sequence[int]) -> tuple[Level, ...] | None:
    """The levels of an output that is a map or a flat sequence of maps of the image; None if it is neither."""
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if not all(item is None or isinstance(item, Tensor) for item in items):
        return None
    levels = []
    for index, item in enumerate(items):
        stride = None if item is None or item.dim() != 4 else stride_of(tuple(item.shape), tuple(size), images=1)
        if stride is not None and min(item.shape[2:]) > 0:
            levels.append(Level(index, stride, item.shape[1], tuple(item.shape[2:])))
    return tuple(levels) or None


def _features(model: nn.Module, seen: _Seen, size: Sequence[int]) -> Maps | None:
    """The last part before the heads whose output is maps of the image."""
    children = dict(model.named_children())
    differentiable = any(True for _ in model.parameters())  # a file of another library is not
    found = None
    for name in seen.order:
        if name.partition('.')[0].endswith('head') and name not in PIXEL_DECODERS:
            continue
        if name not in children and name not in PIXEL_DECODERS or found and name in PIXEL_DECODERS:
            continue
        output, tap = seen.outputs[name], _source(seen, name)
        if differentiable and not any(item.requires_grad for item in _maps(output)):
            continue  # it does not depend on the image, as the positions of a transformer
        levels = _as_levels(output, size)
        if levels is None and isinstance(output, (list, tuple)):  # several outputs, one of which is the pyramid
            for index, item in enumerate(output):
                levels = _as_levels(item, size) if isinstance(item, (list, tuple)) else None
                if levels:
                    tap = dict(source=tap, data_idx=index)
                    break
        if levels:
            found = Maps(tap, levels)
    return found


def _source(seen: _Seen, name: str) -> str:
    return name if name in seen.hooked else f'{name}.forward'


def _of_decode_head(model: nn.Module, head: str, seen: _Seen, size: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    classes = getattr(model.get_submodule(head), 'out_channels', None) or _num_classes(model, head)
    for layer in (f'{head}.{name}' for name in LOGIT_LAYERS):
        levels = _as_levels(seen.outputs.get(layer), size)
        if layer in seen.hooked and levels and len(levels) == 1:
            if levels[0].channels == classes:
                tap = layer if seen.calls[layer] == 1 else dict(source=layer, record_idx=0)
                found.update(logits=Maps(tap, levels), activation=head_activation(model, layer))
            found.update(before_logits=_input_of(seen, f'{head}.dropout', size) or _input_of(seen, layer, size))
            return found
    levels = _as_levels(seen.outputs.get(head), size)  # a head of another build: what it gives
    if levels and len(levels) == 1 and isinstance(seen.outputs[head], Tensor) and levels[0].channels == classes:
        found.update(logits=Maps(f'{head}.forward', levels), activation=head_activation(model, f'{head}.forward'))
    return found


def _input_of(seen: _Seen, name: str, size: Sequence[int]) -> Maps | None:
    value = seen.inputs.get(name)
    levels = _as_levels(value, size) if isinstance(value, Tensor) else None
    more = {} if seen.calls[name] == 1 else dict(record_idx=0)
    return Maps(dict(type='ModuleInputs', source=name, data_idx=0, **more), levels) if levels else None


def _of_dense_head(model: nn.Module, seen: _Seen, size: Sequence[int]) -> dict[str, Any]:
    """Class logits of mmdet's dense heads: a list of maps, the first that the head gives."""
    head, output = getattr(model, 'bbox_head', None), seen.outputs.get('bbox_head')
    if not (isinstance(output, (list, tuple)) and output and isinstance(output[0], (list, tuple))):
        return {}
    levels, priors = _as_levels(output[0], size), _number_of_priors(head)
    channels = priors * getattr(head, 'cls_out_channels', 0)
    activation = head_activation(model, 'bbox_head.forward', 0)
    # some heads give scores in place of logits (TOOD), or boxes along with the classes (YOLOv3)
    scores = all(item.min() >= 0 and item.max() <= 1 for item in _maps(output[0]))
    if not levels or activation is None or scores or any(level.channels != channels for level in levels):
        return {}
    tap = dict(source='bbox_head.forward', data_idx=0)
    return dict(logits=Maps(tap, levels), num_priors=priors, activation=activation)


def _number_of_priors(head: nn.Module) -> int:
    number = getattr(head, 'num_base_priors', 1)
    return number if isinstance(number, int) else number[0] if len(set(number)) == 1 else 0


def _tokens(seen: _Seen) -> Maps | None:
    output = seen.outputs.get('encoder')
    indexed = list(enumerate(output)) if isinstance(output, (list, tuple)) else [(None, output)]
    for index, item in indexed:
        if isinstance(item, Tensor) and item.dim() == 3 and item.shape[0] == 1:
            tap = dict(source=_source(seen, 'encoder'), tokens='line')
            if index is not None:
                tap.update(data_idx=index)
            return Maps(tap, (Level(0, 0.0, item.shape[2], (item.shape[1], 1)),))
    return None


def _num_classes(model: nn.Module, decode_head: str | None) -> int | None:
    children = dict(model.named_children())
    if decode_head:
        heads = [model.get_submodule(decode_head)]
    else:  # an RPN tells object from not-object
        heads = [child for name, child in children.items() if name != 'rpn_head']
    for head in heads:
        for part in (head, getattr(head, 'bbox_head', None)):
            part = part[-1] if isinstance(part, nn.ModuleList) else part
            number = getattr(part, 'num_classes', None)
            if isinstance(number, int):
                return number
    return None
