"""Distillation against a critic that is trained beside the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from mmkd.registry import MODELS

from .. import discriminators  # noqa: F401  registers the critics
from ..discriminators.game import MODES, CriticBatch, HolisticLoss, average_over_ranks, copy_to_ranks, critic_losses
from ..losses.functional import check_choice
from ..recipes.short_form import compile_short_form, parse_short_form
from ..teacher.isolation import iteration_seed, preserve_rng_state
from .dense_distill import DenseDistill

__all__ = ['AdversarialDistill', 'HolisticOptions']

NAME = 'loss_holistic'
IMAGES = 'holistic_images'


@dataclass
class HolisticOptions:
    """The config key ``holistic``.

    Attributes:
        discriminator: Config of the critic. Its ``in_channels`` may be left out where the student's tap is a
            convolution.
        taps: The score maps to be judged: the name of a module, or ``dict(student=..., teacher=...)``, as in
            ``distill``.
        levels: Which levels are judged, each by itself and by the same critic: ``'all'`` or indices, as in ``distill``
            (a detector's class maps). None: one map, the first that the module gives.
        mode: ``'wgan-gp'`` or ``'hinge'``.
        loss_weight: The factor lambda of the game: on the student's term and, as in the paper's one objective and its
            released code, on everything the critic minimises.
        gradient_penalty: Factor on the gradient penalty; default 10 with ``'wgan-gp'`` and 0 with ``'hinge'``.
        discriminator_steps: Updates of the critic for one of the student, on the same maps.
        start_iter: First iteration of the game. Before, there is neither the student's term nor a step of the critic.
        align: Whose size the two score maps are brought to: ``'none'``, ``'student'`` or ``'teacher'``.
        align_corners: As in ``F.interpolate``.
    """

    discriminator: Any
    taps: Any
    levels: Any = None
    mode: str = 'wgan-gp'
    loss_weight: float = 0.1
    gradient_penalty: float | None = None
    discriminator_steps: int = 1
    start_iter: int = 0
    align: str = 'none'
    align_corners: bool = False

    @classmethod
    def from_config(cls, config: Mapping) -> HolisticOptions:
        """Reads the config key.

        Raises:
            ValueError: A key is unknown, missing or has a wrong value; names it.
        """
        if not isinstance(config, Mapping):
            raise ValueError(f'holistic: a dict with discriminator and taps was expected, got {config!r}')
        given = {key: value for key, value in config.items() if key != '_scope_'}
        known = [field.name for field in fields(cls)]
        unknown = [key for key in given if key not in known]
        if unknown:
            raise ValueError(f'holistic: the keys are {", ".join(known)}, got {unknown[0]!r}')
        for key in ('discriminator', 'taps'):
            if given.get(key) is None:
                raise ValueError(f'holistic.{key}: missing')
        return cls(**given)

    def __post_init__(self):
        check_choice('holistic.mode', self.mode, MODES)
        if self.gradient_penalty is None:
            self.gradient_penalty = 10.0 if self.mode == 'wgan-gp' else 0.0
        for key in ('loss_weight', 'gradient_penalty'):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float('inf'):
                raise ValueError(f'holistic.{key}: a finite number of at least 0 was expected, got {value!r}')
        for key, least in (('discriminator_steps', 1), ('start_iter', 0)):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f'holistic.{key}: a whole number of at least {least} was expected, got {value!r}')

    @property
    def conditional(self) -> bool:
        """Whether the critic looks at the image."""
        if isinstance(self.discriminator, nn.Module):
            return getattr(self.discriminator, 'conditional', False)
        return bool(self.discriminator.get('conditional', False))

    def add_to(self, distiller: Mapping) -> dict:
        """The config of a distiller with the holistic loss, and what it reads, among the others."""
        loss = dict(
            type='mmkd.HolisticLoss',
            loss_weight=self.loss_weight,
            align=self.align,
            align_corners=self.align_corners,
        )
        entry = dict(taps=self._taps(), loss=loss)
        if self.levels not in (None, 'all'):
            entry['levels'] = self.levels
        try:
            added = compile_short_form(parse_short_form(dict(holistic=entry)), {})
        except ValueError as error:
            raise ValueError(str(error).replace('distill.holistic', 'holistic')) from error
        if self.conditional:
            # the input of the whole student
            added['student_recorders'][IMAGES] = dict(type='ModuleInputs', source='')
            added['loss_forward_mappings'][NAME]['images'] = dict(recorder=IMAGES, from_student=True, data_idx=0)
        distiller = dict(distiller)
        for key in ('student_recorders', 'teacher_recorders', 'distill_losses', 'loss_forward_mappings'):
            clash = set(distiller.get(key) or {}) & set(added[key])
            if clash:
                raise ValueError(
                    f'distill: {sorted(clash)[0]!r} is the name of the holistic loss, call yours otherwise'
                )
            distiller[key] = {**(distiller.get(key) or {}), **added[key]}
        if 'names' in distiller:
            distiller['names'] = {**distiller['names'], NAME: 'holistic'}
        return distiller

    def _taps(self) -> Any:
        """The taps as ``distill`` has them, with one score map read from each unless ``levels`` are asked for."""
        if self.levels is not None:
            return self.taps
        if isinstance(self.taps, Mapping) and {'student', 'teacher'} <= set(self.taps):
            return {side: _first_call(self.taps[side]) for side in ('student', 'teacher')}
        return _first_call(self.taps)


def _first_call(tap: Any) -> Any:
    if isinstance(tap, str):
        return dict(source=tap, record_idx=0)
    if not isinstance(tap, Mapping):
        raise ValueError(f'holistic.taps: the name of a module or dict(source=...) was expected, got {tap!r}')
    return dict(dict(record_idx=0), **tap)


@MODELS.register_module()
class AdversarialDistill(DenseDistill):
    r"""``DenseDistill`` with the holistic term of Structured Knowledge Distillation (Liu et al. 2019, section 3.3).

    A critic learns to tell the teacher's score maps from the student's, and the student learns to be taken for the
    teacher. In each iteration the student makes its step first, with the critic frozen: the term
    :math:`-\lambda\, \mathrm{mean}\, D(S)` is one of its losses, logged as ``distill.loss_holistic``. Then the critic
    makes a step on the very same maps, detached; neither network runs a second time. Both optimizers come from one
    added key::

        model = dict(
            type='mmkd.AdversarialDistill',
            holistic=dict(
                discriminator=dict(type='HolisticDiscriminator'), taps='decode_head.conv_seg', mode='wgan-gp'))
        optim_wrapper = dict(
            constructor='mmkd.DistillOptimWrapperConstructor',
            discriminator=dict(
                optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4), clip_grad=dict(max_norm=1.0)))

    The critic is trained in float32, saved and resumed with the rest. In a distributed run DDP leaves it alone; its
    gradients are averaged over the processes here, so that any wrapper will do.

    Args:
        holistic: See :class:`HolisticOptions`.
        student, teacher, distill, distiller, **kwargs: See :class:`DenseDistill`. The holistic term may be the only
            distillation loss.

    Raises:
        ValueError: A key is missing, or has a value that is not known.
    """

    def __init__(
        self,
        student: Any = None,
        teacher: Any = None,
        distill: Mapping[str, Mapping] | None = None,
        distiller: Mapping | None = None,
        *,
        holistic: Mapping,
        **kwargs,
    ):
        self.holistic = HolisticOptions.from_config(holistic)  # the distiller is built from it
        if distill is None and distiller is None:
            distill = {}
        super().__init__(student, teacher, distill, distiller, **kwargs)
        with preserve_rng_state():
            self.discriminator = self._build_discriminator()
        self.holistic_loss.attach(self.discriminator)
        critic = [*self.discriminator.named_parameters(), *self.discriminator.named_buffers()]
        # DDP would wait in the student's backward for gradients that only the critic's own step computes
        self._ddp_params_and_buffers_to_ignore = [f'discriminator.{name}' for name, _ in critic]
        self.discriminator_trains = False
        self._synchronized = False
        self._critic_batches: list[CriticBatch] = []
        self._log_vars: dict[str, Tensor] = {}
        self.begin(0)

    def _build_distiller(self, losses: nn.Module | Mapping, short: bool) -> nn.Module:
        if isinstance(losses, nn.Module):
            raise ValueError('distiller: a config was expected beside holistic, which is added to it, got a module')
        if short:
            losses = self._compile(losses) if losses else dict(type='mmkd.DenseDistiller', names={})
        return super()._build_distiller(self.holistic.add_to(losses), short=False)

    def _build_discriminator(self) -> nn.Module:
        config = self.holistic.discriminator
        if isinstance(config, nn.Module):
            return config
        if not isinstance(config, Mapping) or 'type' not in config:
            raise ValueError(f'holistic.discriminator: a dict with type was expected, got {config!r}')
        config = dict(config)
        if config.get('in_channels') is None and str(config['type']).endswith('HolisticDiscriminator'):
            config['in_channels'] = self._channels_of_the_tap()
        return MODELS.build(config)

    def _channels_of_the_tap(self) -> int:
        tap = self.student_recorders.recorders['holistic'].source
        channels = getattr(self.student.get_submodule(tap), 'out_channels', None)
        if not isinstance(channels, int):
            raise ValueError(f'holistic.discriminator.in_channels: missing, and {tap!r} does not say its out_channels')
        return channels

    @property
    def holistic_loss(self) -> HolisticLoss:
        """The student's term."""
        return self.distiller.distill_losses[NAME]

    # ---- the student's step ------------------------------------------------------------------------------------------

    def begin(self, iteration: int) -> None:
        """Starts at an iteration, 0 or that of a resumed run, with nothing kept for the critic."""
        self.iteration = iteration
        self._critic_batches = []

    def loss(self, batch_inputs: Tensor, data_samples: Sequence | None = None) -> dict[str, Tensor]:
        """The losses of a batch, see :meth:`DenseDistill.loss`, and ``distill.loss_holistic``."""
        self.holistic_loss.active = self.iteration >= self.holistic.start_iter
        if self.training and not self._synchronized:
            copy_to_ranks(self.discriminator)
            self._synchronized = True
        return super().loss(batch_inputs, data_samples)

    def distill_losses(self) -> dict[str, Tensor]:
        """The distillation losses; keeps the maps they were computed from for the critic's step."""
        losses = super().distill_losses()
        batches = self.holistic_loss.take()
        if self.discriminator_trains:
            self._critic_batches += batches
        return losses

    def parse_losses(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sums up the losses, as in every mmengine model. The critic's are added to the log by its step.

        Raises:
            RuntimeError: No optimizer was built for the critic.
        """
        if self.training and not self.discriminator_trains:
            raise RuntimeError(
                "optim_wrapper: constructor='mmkd.DistillOptimWrapperConstructor' and discriminator=dict(optimizer=...)"
                ' were expected, since without an optimizer the critic of AdversarialDistill would not learn'
            )
        loss, self._log_vars = super().parse_losses(losses)
        return loss, self._log_vars

    # ---- the critic's step -------------------------------------------------------------------------------------------

    def finish_iteration(self, discriminator_optim_wrapper, student_stepped: bool) -> None:
        """Ends an iteration whose student part is done; called by the optimizer wrapper of both.

        Args:
            discriminator_optim_wrapper: mmengine's ``OptimWrapper`` around the critic's parameters.
            student_stepped: Whether the student made a step, and did not only accumulate gradients.
        """
        self.iteration += 1
        log, self._log_vars = self._log_vars, {}  # it has the graph of the student's step, not to be kept
        if student_stepped:
            log.update(self.update_discriminator(discriminator_optim_wrapper))

    def update_discriminator(self, optim_wrapper) -> dict[str, Tensor]:
        """The critic's step, on all maps since the last one.

        These are the maps of several levels, of images with labels and without and, with gradient accumulation, of
        several iterations, each with the share of its images in the gradient.

        Returns:
            What it minimised, for the log; empty if there are no maps.
        """
        batches, self._critic_batches = self._critic_batches, []
        if not batches:
            return {}
        generator = self._generator()
        images = sum(len(batch.student) for batch in batches)
        for _ in range(self.holistic.discriminator_steps):
            terms = [self._backward(batch, optim_wrapper, len(batch.student) / images, generator) for batch in batches]
            average_over_ranks(self.discriminator, 'gradients')
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        average_over_ranks(self.discriminator, 'statistics')
        return {f'discriminator.{name}': torch.stack([term[name] for term in terms]).mean() for name in terms[0]}

    def _backward(self, batch: CriticBatch, optim_wrapper, share: float, generator) -> dict[str, Tensor]:
        terms = critic_losses(self.discriminator, batch, self.holistic.mode, self.holistic.gradient_penalty, generator)
        loss = sum(value for name, value in terms.items() if name.startswith('loss'))
        optim_wrapper.backward(loss * self.holistic.loss_weight * share)
        return {name: value.detach() for name, value in terms.items()}

    def _generator(self) -> torch.Generator:
        """Random numbers of this iteration and process alone; those of the run stay untouched."""
        return torch.Generator().manual_seed(iteration_seed(self.iteration))
