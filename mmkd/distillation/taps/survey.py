"""Every module of a network that may be tapped: what it gives, when, and what it costs."""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from ..teacher.isolation import preserve_rng_state
from .dummy_batch import dummy_batch
from .levels import tensors_in
from .tap import on_return

__all__ = ['Survey', 'TappedModule', 'stride_of', 'survey']

Shape = tuple[int, ...]

IMAGES = 2  # a batch norm behind a global pooling cannot be trained on one
REPEATS = 5  # forwards that are timed; the fastest counts
MODES = dict(eval=('tensor', 'predict', 'loss'), train=('loss', 'tensor'))  # the first that works is taken


@dataclass
class TappedModule:
    """One row of a :class:`Survey`.

    Attributes:
        name: What ``taps`` of a distillation loss names: ``'neck'``; or ``'bbox_head.forward'`` where the network
            calls the forward past the module, as mmdet's and mmseg's do with their heads.
        kind: The class of the module.
        calls: How often it is called in a forward, in ``'eval'`` (as a teacher) and in ``'train'`` (as a student).
        shapes: Of the tensors that it gives, call after call; likewise. Those of one dimension are left out.
        strides: Of each of them in eval, or in train where it is called there only: how many pixels of the image one
            step is; None where it is no map of the images. Tokens (N, L, C) are one.
        channels: Likewise.
        overwritten: Whether an in-place operation writes over what it gave, later in the forward in eval.
        time: Its share of the time of that forward, with all that is inside of it.
    """

    name: str
    kind: str
    calls: dict[str, int] = field(default_factory=lambda: dict(eval=0, train=0))
    shapes: dict[str, list[Shape]] = field(default_factory=lambda: dict(eval=[], train=[]))
    strides: list[float | None] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    overwritten: bool = False
    time: float = 0.0


@dataclass
class Survey:
    """What :func:`survey` found.

    Attributes:
        size: Height and width of the images, of which there were :data:`IMAGES`.
        modes: In which mode of its forward the network was run in ``'eval'`` and in ``'train'``; None where none works.
        failures: Why others do not, by ``'train loss'`` and the like.
        seconds: The time of a forward in eval.
        modules: Those that give a tensor of two dimensions or more, in the order in which they end.
    """

    size: tuple[int, int]
    modes: dict[str, str | None] = field(default_factory=lambda: dict(eval=None, train=None))
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    modules: list[TappedModule] = field(default_factory=list)


def survey(model: nn.Module, size: tuple[int, int], device: str = 'cpu') -> Survey:
    """Runs a network on made-up images, and looks at all of its modules.

    Its batch norms take up statistics of noise: it is of no use afterwards.

    Args:
        model: The network; an mmengine model, or any other module that takes images alone.
        size: Height and width of the images.
        device: Where it runs.

    Raises:
        ValueError: In eval it runs in no mode.
    """
    model = model.to(device)
    found, rows = Survey(size), {}
    for phase, modes in MODES.items():
        model.train(phase == 'train')
        for mode in modes if isinstance(model, BaseModel) else ('tensor',):
            forward = partial(_forward, model, size, mode, torch.device(device))
            try:
                with preserve_rng_state():
                    outputs = _outputs(model, forward, look_for_writes=phase == 'eval')
                    times = _times(model, forward, torch.device(device)) if phase == 'eval' else {}
            except Exception as error:
                found.failures[f'{phase} {mode}'] = f'{type(error).__name__}: {error}'
                continue
            found.modes[phase] = mode
            _fill(rows, phase, model, *outputs, times)
            found.seconds = times.get('', found.seconds)
            break
    if found.modes['eval'] is None:
        reasons = '; '.join(f'{what}: {why}' for what, why in found.failures.items() if what.startswith('eval'))
        raise ValueError(f'the network does not run on images of {size[0]} x {size[1]}: {reasons}')
    for row in rows.values():
        shapes = row.shapes['eval'] or row.shapes['train']
        row.strides = [stride_of(shape, size) for shape in shapes]
        row.channels = [_channels(shape) for shape in shapes]
    found.modules = [row for row in rows.values() if row.channels]
    return found


def _forward(model: nn.Module, size: tuple[int, int], mode: str, device: torch.device) -> None:
    image, (sample,) = dummy_batch(size, device)
    images = image.repeat(IMAGES, 1, 1, 1)
    with torch.no_grad():
        if isinstance(model, BaseModel):
            model(images, [copy.deepcopy(sample) for _ in range(IMAGES)], mode=mode)  # some losses change them
        else:
            model(images)


def _outputs(
    model: nn.Module, forward: Callable[[], None], look_for_writes: bool
) -> tuple[dict[str, list[list[Shape]]], set[str], set[str]]:
    """Shapes of what each module gives, an item a call; which are called past their hooks, and which written over."""
    shapes: dict[str, list[list[Shape]]] = {}
    hooked: Counter[str] = Counter()
    kept: list[tuple[str, Tensor, int]] = []

    def look(name: str, output: Any) -> None:
        tensors = [tensor for tensor in tensors_in(output) if tensor.dim() > 1]
        shapes.setdefault(name, []).append([tuple(tensor.shape) for tensor in tensors])
        if look_for_writes:  # detached, a tensor still counts how often it is written to
            kept.extend((name, tensor.detach(), tensor._version) for tensor in tensors)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_pre_hook(lambda *_, name=name: hooked.update([name])).remove)
                stack.enter_context(on_return(module, 'forward', partial(look, name)))
        forward()
    past = {name for name, calls in shapes.items() if len(calls) > hooked[name]}
    return shapes, past, {name for name, tensor, version in kept if tensor._version != version}


def _times(model: nn.Module, forward: Callable[[], None], device: torch.device) -> dict[str, float]:
    """Seconds in each module, all of its calls together; of the whole forward under ``''``."""
    runs = []
    for _ in range(REPEATS):
        seconds: dict[str, float] = {}
        with ExitStack() as stack:
            for name, module in model.named_modules():
                stack.enter_context(_timed(module, name, seconds, device))
            forward()
        runs.append(seconds)
    # of each its own, since other processes may get in between at any moment
    return {name: min(seconds[name] for seconds in runs) for name in runs[0]}


@contextmanager
def _timed(module: nn.Module, name: str, seconds: dict[str, float], device: torch.device) -> Iterator[None]:
    own, forward = vars(module).get('forward'), module.forward

    def timed(*args, **kwargs):
        start = _now(device)
        try:
            return forward(*args, **kwargs)
        finally:
            seconds[name] = seconds.get(name, 0.0) + _now(device) - start

    module.forward = timed
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


def _now(device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _fill(rows: dict[str, TappedModule], phase: str, model: nn.Module, *found: Any) -> None:
    """Adds what was found in a phase to the rows, by the names of the modules."""
    shapes, past, written, times = found
    for name, calls in shapes.items():
        row = rows.setdefault(name, TappedModule(name, type(model.get_submodule(name)).__name__))
        row.calls[phase] = len(calls)
        row.shapes[phase] = [shape for call in calls for shape in call]
        if name in past:
            row.name = f'{name}.forward'
        if phase == 'eval':
            row.overwritten = name in written
            row.time = times[name] / times['']


def _channels(shape: Shape) -> int:
    of_queries = len(shape) == 4 and shape[1] == IMAGES != shape[0]  # decoders stack their layers in front
    return shape[-1] if len(shape) == 3 or of_queries else shape[1]


def stride_of(shape: Shape, size: tuple[int, int], images: int = IMAGES) -> float | None:
    """How many pixels of the images one step in a map is; None for what is no map of them."""
    if shape[0] != images or len(shape) not in (3, 4):
        return None
    height, width = size
    if len(shape) == 4:
        down, across = height / shape[2], width / shape[3]
        whole = round(max(down, across))  # sizes are rounded up
        if (math.ceil(height / max(whole, 1)), math.ceil(width / max(whole, 1))) == shape[2:]:
            return float(whole)
        return round(down, 2) if abs(across - down) < 0.1 * down else None
    side = max(round(math.sqrt(height * width / shape[1])), 1)
    tokens = (height // side) * (width // side)
    return float(side) if shape[1] - tokens in (0, 1) else None  # there may be one of the class before them
