"""Whether two networks look at the same regions of interest (RoIs).

Each has proposals of its own, and what the RoI head of one computes of its n-th RoI has nothing to do with what that of
the other computes of its n-th.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from .levels import Reading, readings_of

__all__ = ['RegionWatch', 'check_regions']

# parts of mmdet's RoI heads that see the whole image (HTC, SCNet)
OF_THE_IMAGE = ('semantic_head', 'glbctx_head')


def check_regions(distiller: nn.Module, student: nn.Module, teacher: nn.Module) -> dict[str, str]:
    """Refuses losses that compare what both networks compute of RoIs, unless something makes the RoIs the same.

    That is a loss with ``shares_regions = True``, or one of mmrazor's deliveries, which hands what the teacher proposed
    or sampled on to the student.

    Returns:
        The losses that rely on deliveries, each with the student's tap.

    Raises:
        ValueError: Nothing makes them the same.
    """
    found = {}
    for name, arguments in readings_of(distiller).items():
        readings = [reading for parts in arguments.values() for reading in parts]
        students = _taps_on_regions(readings, 'student', student)
        teachers = _taps_on_regions(readings, 'teacher', teacher)
        if students and teachers and not getattr(distiller.distill_losses[name], 'shares_regions', False):
            found[name] = students[0]
    if found and not distiller.deliveries.deliveries:
        name, source = next(iter(found.items()))
        raise ValueError(
            f'{distiller.title(name)}: tap {source!r} gives one item for each region of interest, and student and '
            'teacher have different ones: the n-th of one has nothing to do with the n-th of the other. Tap what sees '
            "the whole image ('neck', 'rpn_head.rpn_cls'), teach masks with MaskBranchLoss, which uses the student's "
            "regions in both, or hand the teacher's on with distill_deliveries"
        )
    return found


def _taps_on_regions(readings: Sequence[Reading], side: str, model: nn.Module) -> list[str]:
    sources = [reading.source for reading in readings if reading.side == side]
    return [source for source in sources if _is_on_regions(model, source)]


def _is_on_regions(model: nn.Module, source: str) -> bool:
    """Whether a tap is a RoI head, a module with an extractor of RoIs, or lies below one."""
    module, names = model, source.split('.')
    for depth, name in enumerate(names, 1):
        module = dict(module.named_children()).get(name)
        if module is None:  # a method
            return False
        if any(child.endswith('roi_extractor') for child, _ in module.named_children()):
            return not set(names[depth:]) & set(OF_THE_IMAGE)
    return False


class RegionWatch:
    """Compares, in one step of training, the RoIs that the RoI extractors of both networks are given.

    Args:
        losses: The losses that need them to be the same, by their names in messages, each with its tap. None of them:
            nothing is watched.
    """

    def __init__(self, losses: Mapping[str, str]):
        self.losses = dict(losses)
        self._regions: dict[str, list[Tensor]] = dict(student=[], teacher=[])

    @contextmanager
    def attached(self, model: nn.Module, side: str) -> Iterator[None]:
        """Notes the RoIs of one network inside this context."""
        seen = self._regions[side] = []
        with ExitStack() as stack:
            for module in model.modules() if self.losses else ():
                if type(module).__name__.endswith('RoIExtractor'):
                    # mmdet calls them with (features, rois, ...)
                    hook = module.register_forward_pre_hook(lambda module, args: seen.append(args[1].detach()))
                    stack.callback(hook.remove)
            yield

    def check(self) -> None:
        """Compares them, the first time that it is called.

        Raises:
            ValueError: They differ.
        """
        losses, self.losses = self.losses, {}
        regions, self._regions = self._regions, dict(student=[], teacher=[])
        if losses and not _same(regions['student'], regions['teacher']):
            name, source = next(iter(losses.items()))
            raise ValueError(
                f'{name}: tap {source!r} gives one item for each region of interest, and in spite of '
                'distill_deliveries those of student and teacher differ. What has to be delivered is the result of the '
                "last function that chooses them, such as the RoI head's sampler"
            )


def _same(student: list[Tensor], teacher: list[Tensor]) -> bool:
    return len(student) == len(teacher) and all(
        ours.shape == theirs.shape and torch.equal(ours.to(theirs), theirs)
        for ours, theirs in zip(student, teacher, strict=True)
    )
