"""Distillation against a discriminator that is trained beside the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mmkd.registry import MODELS

from .. import discriminators  # noqa: F401  registers them
from ..losses.context import LossContext
from ..recipes.holistic import HolisticOptions
from ..teacher.isolation import preserve_rng_state
from .dense_distill import DenseDistill

__all__ = ['AdversarialDistill']


@MODELS.register_module()
class AdversarialDistill(DenseDistill):
    r"""``DenseDistill`` with the holistic term of Structured Knowledge Distillation (Liu et al. 2019, section 3.3).

    A discriminator learns to tell the teacher's score maps from the student's, and the student learns to be taken for
    the teacher. In each iteration the student makes its step first, with the discriminator frozen: the term
    :math:`-\lambda\, \mathrm{mean}\, D(S)` is one of its losses, logged as ``distill.loss_holistic``. Then the
    discriminator makes a step on the very same maps, detached; neither network runs a second time. Both optimizers come
    from one added key::

        model = dict(
            type='mmkd.AdversarialDistill',
            holistic=dict(
                discriminator=dict(type='HolisticDiscriminator'), taps='decode_head.conv_seg', mode='wgan-gp'))
        optim_wrapper = dict(
            constructor='mmkd.DistillOptimWrapperConstructor',
            discriminator=dict(
                optimizer=dict(type='SGD', lr=4e-4, momentum=0.9, weight_decay=5e-4), clip_grad=dict(max_norm=1.0)))

    The discriminator is trained in float32, saved and resumed with the rest. In a distributed run DDP leaves it alone;
    its gradients are averaged over the processes by its ``Adversary``, so that any wrapper will do.

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
        self.adversary = self.holistic.adversary(self.discriminator)
        own = [*self.discriminator.named_parameters(), *self.discriminator.named_buffers()]
        # DDP would wait in the student's backward for gradients that only the discriminator's own step computes
        self._ddp_params_and_buffers_to_ignore = [f'discriminator.{name}' for name, _ in own]

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

    def context(self, batch_inputs: Tensor, data_samples: Sequence | None) -> LossContext:
        """What losses may ask for, see :meth:`DenseDistill.context`, and the discriminator."""
        return replace(super().context(batch_inputs, data_samples), discriminator=self.adversary)

    def loss(self, batch_inputs: Tensor, data_samples: Sequence | None = None) -> dict[str, Tensor]:
        """The losses of a batch, see :meth:`DenseDistill.loss`, and ``distill.loss_holistic``."""
        if self.training:
            self.adversary.synchronize()
        return super().loss(batch_inputs, data_samples)

    def parse_losses(self, losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sums up the losses, as in every mmengine model. The discriminator's are added to the log by its step.

        Raises:
            RuntimeError: No optimizer was built for the discriminator.
        """
        if self.training and not self.adversary.trains:
            raise RuntimeError(
                "optim_wrapper: constructor='mmkd.DistillOptimWrapperConstructor' and discriminator=dict(optimizer=...)"
                ' were expected, since without an optimizer the discriminator of AdversarialDistill would not learn'
            )
        loss, log = super().parse_losses(losses)
        self.adversary.report_to(log)
        return loss, log
