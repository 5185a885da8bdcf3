"""The losses between two networks: mmrazor's configurable distiller, with losses over several levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.compat import import_mmrazor
from mmkd.registry import MODELS

from ..connectors import LevelConnectors
from ..losses.context import LossContext, takes_all_levels
from ..taps.levels import Levels, Reading, readings_of, tensors_in
from ..taps.recorders import Recorders
from ..taps.tap import Tap
from ..teacher.isolation import preserve_rng_state
from ..teacher.precision import to_float32
from .mmrazor import check_mappings

import_mmrazor()
from mmrazor.models.distillers import ConfigurableDistiller  # noqa: E402

__all__ = ['DenseDistiller']

REDUCTIONS = {'mean': torch.mean, 'sum': torch.sum}


@MODELS.register_module()
class DenseDistiller(ConfigurableDistiller):
    """``ConfigurableDistiller`` in which one loss may span several levels.

    An entry of ``loss_forward_mappings`` takes ``levels`` beside mmrazor's keys: ``'all'`` or a list of indices, of the
    items of a tuple (the output of a neck) or of the calls of a module (a head that all levels share). The loss is then
    computed level by level::

        loss_forward_mappings=dict(loss_fpn=dict(
            preds_S=dict(recorder='fpn', from_student=True, levels=[0, 1, 2]),
            preds_T=dict(recorder='fpn', from_student=False, levels=[0, 1, 2])))

    A record may go on in ``more=[dict(recorder=...), ...]``; all of them together are then the levels. That is for
    levels that come from different modules, such as the stages of a backbone.

    A loss whose arguments are called ``levels_S`` and ``levels_T`` gets all levels at once, and may return a dict of
    losses, which are logged under its name and theirs. What else a loss gets, it asks for (:class:`LossContext`).

    What the teacher recorded in half precision or channels-last comes out in float32, contiguous.

    Args:
        student_recorders, teacher_recorders: Configs of the recorders by name, see :class:`Recorder`.
        loss_forward_mappings: What each loss is given.
        level_reduction: How the losses of the levels become one, ``'mean'`` or ``'sum'``; one word for all losses, or
            a dict from names of losses. With the mean, a loss weight means the same for any number of levels.
        start_iter: For each loss by name, the iteration of the run from which on it counts, default 0. Before, it is
            zero and not computed. Outside of a Runner there is no number of an iteration, and all of them count.
        end_iter: For each loss by name, the iteration from which on it does not count any more, default never.
        names: How to call the losses in messages, by name.
        **kwargs: ``distill_losses``, ``connectors``, ``distill_deliveries`` of ``ConfigurableDistiller``.

    Raises:
        ValueError: ``level_reduction`` is unknown, or a mapping names what there is not.
    """

    def __init__(
        self,
        student_recorders: Mapping[str, Mapping] | None = None,
        teacher_recorders: Mapping[str, Mapping] | None = None,
        loss_forward_mappings: Mapping[str, Mapping] | None = None,
        level_reduction: str | Mapping[str, str] = 'mean',
        start_iter: Mapping[str, int] | None = None,
        end_iter: Mapping[str, int] | None = None,
        names: Mapping[str, str] | None = None,
        **kwargs,
    ):
        self.names = names or {}  # before the losses are built, whose mistakes are told by these names
        super().__init__(**kwargs)
        given = [level_reduction] if isinstance(level_reduction, str) else level_reduction.values()
        unknown = [word for word in given if word not in REDUCTIONS]
        if unknown:
            raise ValueError(f'level_reduction: one of {list(REDUCTIONS)} was expected, got {unknown[0]!r}')
        self.level_reduction = level_reduction
        self.start_iter = start_iter or {}
        self.end_iter = end_iter or {}
        self.student_recorders = Recorders(student_recorders, 'student')
        self.teacher_recorders = Recorders(teacher_recorders, 'teacher')
        self.loss_forward_mappings = loss_forward_mappings or {}
        recorders = dict(student=self.student_recorders, teacher=self.teacher_recorders)
        check_mappings(self.loss_forward_mappings, self.distill_losses, recorders, self.connectors)
        for reading in self.readings():
            reading.recorder.add_tap(reading.tap)

    def build_connectors(self, connectors: Mapping[str, Mapping] | None = None) -> nn.ModuleDict:
        """Builds the connectors.

        Raises:
            ValueError: A connector is unknown, or an option of it is wrong; says of which.
        """
        built = nn.ModuleDict()
        for name, config in (connectors or {}).items():
            try:
                built.update(super().build_connectors({name: config}))
            except (TypeError, ValueError) as error:
                message = str(error).removeprefix('connector: ')  # the short form's begin with their key
                raise ValueError(f'distill.{name}.connector: {message}') from error
        return built

    def build_distill_losses(self, losses: Mapping[str, Mapping] | None = None) -> nn.ModuleDict:
        """Builds the losses.

        Raises:
            ValueError: An option of a loss is wrong; says of which.
        """
        built = nn.ModuleDict()
        for name, config in (losses or {}).items():
            try:
                built.update(super().build_distill_losses({name: config}))
            except (TypeError, ValueError) as error:
                raise ValueError(f'{self.title(name)}.loss: {error}') from error
            _check_numbers(config, f'{self.title(name)}.loss')  # mmrazor's losses take any
            if getattr(built[name], 'takes_levels', False):  # called level by level, unnoticed
                raise ValueError(
                    f'{self.title(name)}.loss: takes_levels of {type(built[name]).__name__} says nothing; a loss gets '
                    'all levels at once where the arguments of its forward are called levels_S and levels_T'
                )
        return built

    def init_weights(self) -> None:
        """Initialises the connectors, which mmrazor forgets, on random numbers of their own.

        Those of the run stay untouched: the student takes the same way as without a teacher.
        """
        with preserve_rng_state():
            super().init_weights()
            for connector in self.connectors.values():
                if isinstance(connector, BaseModule) and not connector.is_init:
                    connector.init_weights()

    # ---- what is read ------------------------------------------------------------------------------------------------

    def readings(self, name: str | None = None, side: str | None = None) -> list[Reading]:
        """All that is read, in order.

        Args:
            name: By one loss alone.
            side: Of the ``'student'`` or of the ``'teacher'`` alone.
        """
        of_losses = readings_of(self)
        found = [of_losses[name]] if name is not None else of_losses.values()
        readings = [reading for arguments in found for parts in arguments.values() for reading in parts]
        return [reading for reading in readings if side in (None, reading.side)]

    def teacher_taps(self, iteration: int | None) -> list[Tap]:
        """What is read of the teacher's modules, without what only losses read that do not count in an iteration."""
        active = [name for name in self.loss_forward_mappings if self.is_active(name, iteration)]
        readings = [reading for name in active for reading in self.readings(name, 'teacher')]
        return list(dict.fromkeys(reading.tap for reading in readings if reading.recorder.of_module))

    def get_record(
        self,
        recorder: str,
        from_student: bool,
        record_idx: int | None = None,
        data_idx: int | None = None,
        connector: str | None = None,
        connector_idx: int | None = None,
        levels: str | Sequence[int] | None = None,
        more: Sequence[Mapping] = (),
        tokens: str | Mapping | None = None,
    ) -> Any:
        """Returns what was recorded, past its connector; a list of levels if ``levels`` or ``more`` is given.

        Raises:
            ValueError: A level does not exist, or nothing was recorded.
        """
        side, manager = ('student', self.student_recorders) if from_student else ('teacher', self.teacher_recorders)
        first = dict(recorder=recorder, record_idx=record_idx, data_idx=data_idx, levels=levels, tokens=tokens)
        parts = [
            Reading.from_config(manager.get_recorder(part['recorder']), side, part).read() for part in (first, *more)
        ]
        data = Levels(parts) if more else parts[0]
        if not from_student:
            data = _as_losses_expect_it(data)
        if connector:
            data = self._connect(self.connectors[connector], data)
        if connector_idx is not None:
            data = Levels(item[connector_idx] for item in data) if isinstance(data, Levels) else data[connector_idx]
        return data

    @staticmethod
    def _connect(connector, data):
        if isinstance(connector, LevelConnectors):
            return Levels(connector(data)) if isinstance(data, Levels) else connector([data])[0]
        return Levels(map(connector, data)) if isinstance(data, Levels) else connector(data)

    # ---- losses ------------------------------------------------------------------------------------------------------

    def title(self, name: str) -> str:
        """How a loss is called in messages: by its config key."""
        return self.names.get(name, f'distill.{name}')

    def is_active(self, name: str, iteration: int | None) -> bool:
        """Whether a loss counts in an iteration of the run; outside of one all of them do."""
        start, end = self.start_iter.get(name, 0), self.end_iter.get(name, float('inf'))
        return iteration is None or start <= iteration < end

    def compute_distill_losses(self, context: LossContext | None = None) -> dict[str, Tensor]:
        """All losses of what the recorders hold.

        Args:
            context: What the losses may ask for beside it.

        Raises:
            ValueError: A loss cannot be computed; says which, from what, and why.
        """
        context = context or LossContext()
        losses = {}
        for name in self.loss_forward_mappings:
            active = self.is_active(name, context.iteration)
            loss = self.compute_loss(name, context) if active else self.zero_loss(name, context)
            if isinstance(loss, Mapping):
                losses.update({f'{name}_{key}': value for key, value in loss.items()})
            else:
                losses[name] = loss
        return losses

    def zero_loss(self, name: str, context: LossContext) -> Tensor:
        """Zero that still depends on all that this loss trains: DDP waits for a gradient of it."""
        used = [record.get('connector') for record in self.loss_forward_mappings[name].values()]
        trained = [self.distill_losses[name], *(self.connectors[key] for key in dict.fromkeys(used) if key)]
        sums = [p.sum() for module in trained for p in module.parameters() if p.requires_grad]
        if not sums and context.student is not None:  # on the device of the student
            sums = [next(context.student.parameters()).new_zeros(())]
        return 0 * sum(sums, torch.zeros(()))

    def compute_loss(self, name: str, context: LossContext) -> Tensor | dict[str, Tensor]:
        """One loss of what the recorders hold; see :meth:`compute_distill_losses`."""
        arguments = {}
        try:
            for key, record in self.loss_forward_mappings[name].items():
                arguments[key] = self.get_record(**record)
            return self._loss_of(name, arguments, context)
        except torch.cuda.OutOfMemoryError:
            raise
        except (ValueError, TypeError, AssertionError, RuntimeError, IndexError) as error:
            shapes = ''.join(f'; {key} {_shapes(value)}' for key, value in arguments.items())
            raise ValueError(f'{self.title(name)}: {error}{shapes}') from error

    def _loss_of(self, name: str, arguments: Mapping[str, Any], context: LossContext) -> Tensor | dict[str, Tensor]:
        loss = self.distill_losses[name]
        asked = context.arguments(loss, given=arguments)
        counts = {key: len(value) for key, value in arguments.items() if isinstance(value, Levels)}
        if not counts:
            return loss(**arguments, **asked)
        reduction = self.level_reduction
        if not isinstance(reduction, str):
            reduction = reduction.get(name, 'mean')
        levels = next(iter(counts.values()))
        if takes_all_levels(loss):
            return _times(loss(**arguments, **asked), levels if reduction == 'sum' else 1)
        if len(set(counts.values())) > 1:
            raise ValueError(
                f'the numbers of levels differ: {", ".join(f"{k} {n}" for k, n in counts.items())}; '
                'levels=dict(student=(...), teacher=(...)) says which belong together'
            )
        values = [
            loss(**{key: value[i] if key in counts else value for key, value in arguments.items()}, **asked)
            for i in range(levels)
        ]
        return REDUCTIONS[reduction](torch.stack(values))


def _check_numbers(config: Mapping, key: str) -> None:
    """Refuses numbers in the config of a loss with which no training can go well, those of losses within it too.

    Raises:
        ValueError: A number is infinite or none, or a weight is negative or no number; names its key.
    """
    for name, value in config.items():
        if isinstance(value, Mapping):
            _check_numbers(value, f'{key}.{name}')
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        finite = all(not isinstance(number, float) or math.isfinite(number) for number in values)
        no_weight = isinstance(value, (bool, str)) or isinstance(value, Real) and value < 0
        if name == 'loss_weight' and (no_weight or not finite):
            raise ValueError(f'{key}.{name}: a finite number of at least 0 was expected, got {value!r}')
        if not finite:
            raise ValueError(f'{key}.{name}: a finite number was expected, got {value!r}')


def _times(loss: Tensor | Mapping[str, Tensor], factor: int) -> Tensor | dict[str, Tensor]:
    return {key: factor * v for key, v in loss.items()} if isinstance(loss, Mapping) else factor * loss


def _as_losses_expect_it(data):
    if isinstance(data, Tensor):
        return to_float32(data).contiguous()  # the teacher's may be channels-last, and some losses call view
    if isinstance(data, (list, tuple)) and not hasattr(data, '_fields'):  # Levels, too
        return type(data)(_as_losses_expect_it(item) for item in data)
    return data


def _shapes(value) -> str:
    shapes = [str(tuple(tensor.shape)) for tensor in tensors_in(value)]
    return ', '.join(shapes) or type(value).__name__
