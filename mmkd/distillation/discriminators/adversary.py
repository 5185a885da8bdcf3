"""The adversary of a student: a discriminator, what it is to learn from, and its step.

The loss functions are in :mod:`mmkd.distillation.losses`, the network in :mod:`mmkd.distillation.discriminators`; here
is what brings the two together in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce_params, broadcast
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..losses import adversarial_discriminator_loss, adversarial_student_loss, gradient_penalty
from ..losses.functional import autocast_off
from ..teacher.isolation import evaluating, iteration_seed

__all__ = ['MODES', 'Adversary', 'JudgedMaps', 'discriminator_losses', 'per_sample']

# The names of the two games, and of the losses in them.
MODES = {'wgan-gp': 'wgan', 'hinge': 'hinge'}


@dataclass
class JudgedMaps:
    """What the discriminator learns from in one step, in float32 and without a graph.

    Attributes:
        student: The student's maps (N, C, H, W).
        teacher: The teacher's maps, of the same size.
        images: The images (N, 3, H, W), resized to the maps; None for a discriminator that does not look at them.
    """

    student: Tensor
    teacher: Tensor
    images: Tensor | None = None


class Adversary:
    """Judges the student's maps, keeps them, and learns from them after the student's step.

    The network is a child of the algorithm, with which it is saved and moved; all else about it is here. Who runs the
    optimizers calls :meth:`begin` once and :meth:`finish_iteration` after each backward pass of the student.

    Args:
        network: The discriminator.
        mode: ``'wgan-gp'`` or ``'hinge'``.
        loss_weight: The factor lambda on everything that it minimises.
        gradient_penalty: Factor on the gradient penalty, with either mode; 0 for none.
        steps: Its updates for one of the student, on the same maps.
        start_iter: First iteration of the game. Before, there is neither the student's term nor a step.

    Attributes:
        iteration: Of the run.
        trains: Whether there is an optimizer for it. Without, nothing is kept.
        judged: The maps since its last step.
    """

    def __init__(
        self,
        network: nn.Module,
        mode: str = 'wgan-gp',
        loss_weight: float = 0.1,
        gradient_penalty: float = 10.0,
        steps: int = 1,
        start_iter: int = 0,
    ):
        self.network = network
        self.mode = mode
        self.loss_weight = loss_weight
        self.gradient_penalty = gradient_penalty
        self.steps = steps
        self.start_iter = start_iter
        self.trains = False
        self._synchronized = False
        self._log: dict[str, Tensor] = {}
        self.begin(0)

    def begin(self, iteration: int) -> None:
        """Starts at an iteration, 0 or that of a resumed run, with no maps kept."""
        self.iteration = iteration
        self.judged: list[JudgedMaps] = []

    @property
    def active(self) -> bool:
        """Whether the game has begun."""
        return self.iteration >= self.start_iter

    @property
    def conditional(self) -> bool:
        """Whether the discriminator looks at the image."""
        return getattr(self.network, 'conditional', False)

    # ---- the student's step ------------------------------------------------------------------------------------------

    def judge(self, student: Tensor, teacher: Tensor, images: Tensor | None, keep: bool) -> Tensor:
        """What the student minimises, ``-mean D(S)``; zero as long as the game has not begun.

        The network is looked at and not changed: its parameters get no gradient, and it runs as a function of each
        sample alone (see :func:`per_sample`).

        Args:
            student: The student's maps (N, C, H, W), float32.
            teacher: The teacher's, of the same size.
            images: The networks' input (N, 3, *, *).
            keep: Whether the maps are kept for the discriminator's step.
        """
        if not self.active:
            return 0 * student.sum()
        if self.conditional and images is not None:
            images = F.interpolate(images.float(), student.shape[-2:], mode='bilinear', align_corners=True)
        else:
            images = None
        if keep and self.trains:
            self.judged.append(JudgedMaps(student.detach(), teacher, images))
        with _frozen(self.network), per_sample(self.network):
            return adversarial_student_loss(_score(self.network, student, images))

    def report_to(self, log: dict[str, Tensor]) -> None:
        """Says which log of an iteration takes what the step of that iteration minimises."""
        self._log = log

    def synchronize(self) -> None:
        """Gives every process the discriminator of the first, once: DDP, which is told to ignore it, does not."""
        if self._synchronized:
            return
        for tensor in [*self.network.parameters(), *self.network.buffers()]:
            broadcast(tensor.data, src=0)
        self._synchronized = True

    # ---- the discriminator's step ------------------------------------------------------------------------------------

    def finish_iteration(self, optim_wrapper, student_stepped: bool) -> None:
        """Ends an iteration whose student part is done.

        Args:
            optim_wrapper: mmengine's ``OptimWrapper`` around the discriminator's parameters.
            student_stepped: Whether the student made a step, and did not only accumulate gradients.
        """
        self.iteration += 1
        log, self._log = self._log, {}  # it has the graph of the student's step, not to be kept
        if student_stepped:
            log.update(self.step(optim_wrapper))

    def step(self, optim_wrapper) -> dict[str, Tensor]:
        """The discriminator's step, on all maps since the last one.

        These are the maps of several levels, of images with labels and without and, with gradient accumulation, of
        several iterations, each with the share of its images in the gradient.

        Returns:
            What it minimised, for the log; empty if there are no maps.
        """
        judged, self.judged = self.judged, []
        if not judged:
            return {}
        # random numbers of this iteration and process alone; those of the run stay untouched
        generator = torch.Generator().manual_seed(iteration_seed(self.iteration))
        images = sum(len(maps.student) for maps in judged)
        for _ in range(self.steps):
            terms = [self._backward(maps, optim_wrapper, len(maps.student) / images, generator) for maps in judged]
            self._average_over_ranks('gradients')
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        self._average_over_ranks('statistics')
        return {f'discriminator.{name}': torch.stack([term[name] for term in terms]).mean() for name in terms[0]}

    def _backward(self, maps: JudgedMaps, optim_wrapper, share: float, generator) -> dict[str, Tensor]:
        terms = discriminator_losses(self.network, maps, self.mode, self.gradient_penalty, generator)
        loss = sum(value for name, value in terms.items() if name.startswith('loss'))
        optim_wrapper.backward(loss * self.loss_weight * share)
        return {name: value.detach() for name, value in terms.items()}

    def _average_over_ranks(self, what: str) -> None:
        """Averages over the processes what each has computed from its own part of the batch.

        Args:
            what: ``'gradients'``, before an optimizer step; or ``'statistics'``, the running mean and variance of batch
                norms, with which the student is judged. The singular vectors of a spectral norm come from the weights
                alone and are equal anyway.
        """
        if what == 'gradients':
            tensors = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        else:
            norms = [m for m in self.network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
            tensors = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
        if tensors:
            all_reduce_params(tensors, op='mean')


def discriminator_losses(
    discriminator: nn.Module,
    maps: JudgedMaps,
    mode: str,
    penalty_weight: float,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """What the discriminator minimises, from one call on the real and the fake maps together.

    One call and not two: each forward in train mode runs a power iteration of the spectral norm, and both kinds of maps
    are to be judged by the same weights (and normalised alike, where the discriminator has a batch norm).

    Args:
        discriminator: The discriminator, in train mode.
        maps: Real and fake maps.
        mode: ``'wgan-gp'`` or ``'hinge'``.
        penalty_weight: The factor lambda of the gradient penalty, with either mode; 0 for none.
        generator: Draws the places between real and fake where the penalty is taken.

    Returns:
        ``loss_adversarial``, ``loss_gp`` (if there is a penalty) and ``gap``, how much higher the teacher scores.
    """
    device = maps.student.device
    with torch.enable_grad(), autocast_off(device):
        both = torch.cat([maps.teacher, maps.student])
        images = None if maps.images is None else torch.cat([maps.images, maps.images])
        teacher_scores, student_scores = _score(discriminator, both, images).chunk(2)
        terms = dict(loss_adversarial=adversarial_discriminator_loss(student_scores, teacher_scores, MODES[mode]))
        if penalty_weight:
            # drawn on the CPU, so that it is the same on every device
            alpha = torch.rand(len(maps.student), generator=generator).to(device)
            with per_sample(discriminator):
                terms['loss_gp'] = gradient_penalty(
                    lambda between: _score(discriminator, between, maps.images),
                    maps.student,
                    maps.teacher,
                    penalty_weight,
                    alpha,
                )
        terms['gap'] = (teacher_scores.mean() - student_scores.mean()).detach()
    return terms


def per_sample(discriminator: nn.Module) -> AbstractContextManager:
    """A context in which the discriminator is a function of each sample alone and keeps its state.

    It is the discriminator's own ``per_sample`` if it has one; otherwise eval mode.
    """
    return discriminator.per_sample() if hasattr(discriminator, 'per_sample') else evaluating(discriminator)


@contextmanager
def _frozen(discriminator: nn.Module) -> Iterator[None]:
    trained = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _score(discriminator: nn.Module, maps: Tensor, images: Tensor | None) -> Tensor:
    return discriminator(maps) if images is None else discriminator(maps, images)
