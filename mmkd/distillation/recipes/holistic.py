"""The key ``holistic`` of ``AdversarialDistill``: one term of the short form, and the game around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from ..discriminators.adversary import MODES, Adversary
from ..losses.functional import check_choice
from .short_form import compile_short_form, parse_short_form

__all__ = ['LOSS_NAME', 'HolisticOptions']

LOSS_NAME = 'loss_holistic'


@dataclass
class HolisticOptions:
    """The config key ``holistic``.

    Attributes:
        discriminator: Config of the discriminator. Its ``in_channels`` may be left out where the student's tap is a
            convolution.
        taps: The score maps to be judged: the name of a module, or ``dict(student=..., teacher=...)``, as in
            ``distill``.
        levels: Which levels are judged, each by itself and by the same discriminator: ``'all'`` or indices, as in
            ``distill`` (a detector's class maps). None: one map, the first that the module gives.
        mode: ``'wgan-gp'`` or ``'hinge'``.
        loss_weight: The factor lambda of the game: on the student's term and, as in the paper's one objective and its
            released code, on everything the discriminator minimises.
        gradient_penalty: Factor on the gradient penalty; default 10 with ``'wgan-gp'`` and 0 with ``'hinge'``.
        discriminator_steps: Updates of the discriminator for one of the student, on the same maps.
        start_iter: First iteration of the game. Before, there is neither the student's term nor a step of the
            discriminator.
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
        distiller = dict(distiller)
        for key in ('student_recorders', 'teacher_recorders', 'distill_losses', 'loss_forward_mappings'):
            clash = set(distiller.get(key) or {}) & set(added[key])
            if clash:
                raise ValueError(
                    f'distill: {sorted(clash)[0]!r} is the name of the holistic loss, call yours otherwise'
                )
            distiller[key] = {**(distiller.get(key) or {}), **added[key]}
        if 'names' in distiller:
            distiller['names'] = {**distiller['names'], LOSS_NAME: 'holistic'}
        return distiller

    def adversary(self, network: nn.Module) -> Adversary:
        """The game with a discriminator that is built."""
        return Adversary(
            network,
            mode=self.mode,
            loss_weight=self.loss_weight,
            gradient_penalty=self.gradient_penalty,
            steps=self.discriminator_steps,
            start_iter=self.start_iter,
        )

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
