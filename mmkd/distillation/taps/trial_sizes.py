"""The sizes of the images that networks are tried with before training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import nn

__all__ = ['TrialSizes']

SMALL = (256, 256)
T = TypeVar('T')


class TrialSizes:
    """Sizes, the first that works of which is used from then on.

    Args:
        sizes: Height and width of each.
    """

    def __init__(self, *sizes: tuple[int, int]):
        self.sizes = tuple(dict.fromkeys(sizes))

    @classmethod
    def from_config(cls, dry_run: bool | Mapping, student: nn.Module) -> TrialSizes:
        """Reads ``dry_run`` of ``DenseDistill``: the size that it gives; else a small one, and that of the batches.

        Some transformers run with images of one size only, to which their preprocessor brings every batch.

        Raises:
            ValueError: It is neither True, False nor ``dict(size=(H, W))``.
        """
        if isinstance(dry_run, bool):
            of_batches = getattr(getattr(student, 'data_preprocessor', None), 'size', None)
            of_batches = (of_batches,) * 2 if isinstance(of_batches, int) else of_batches
            return cls(SMALL, tuple(of_batches)) if of_batches else cls(SMALL)
        size = dry_run.get('size')
        if not isinstance(size, Sequence) or len(size) != 2 or set(dry_run) - {'size', '_scope_'}:
            raise ValueError(f'dry_run: True, False or dict(size=(H, W)) was expected, got {dict(dry_run)!r}')
        return cls(tuple(size))

    def first_that_works(self, look: Callable[[tuple[int, int]], T]) -> T:
        """What ``look`` finds with images of the first size that it takes.

        Raises:
            Exception: What it raises with the last one, where it takes none.
        """
        for size in self.sizes[:-1]:
            try:
                found = look(size)
            except Exception:
                continue
            self.sizes = (size,)
            return found
        found = look(self.sizes[-1])
        self.sizes = self.sizes[-1:]
        return found
