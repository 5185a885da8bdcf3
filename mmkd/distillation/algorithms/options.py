"""Options of the algorithms that take several forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ['DRY_RUN_SIZE', 'dry_run_size', 'one_of']

DRY_RUN_SIZE = (256, 256)


def one_of(name: str, value: Any, other_name: str, other: Any) -> Any:
    """The one of two options that is given.

    Raises:
        ValueError: None is, or both.
    """
    if (value is None) == (other is None):
        given = 'none' if value is None else 'both'
        raise ValueError(f'{name}, {other_name}: one of the two was expected, got {given}')
    return other if value is None else value


def dry_run_size(dry_run: bool | Mapping) -> tuple[int, int] | None:
    """Height and width of the image of the dry run; None for none.

    Raises:
        ValueError: It is neither a bool nor ``dict(size=(H, W))``.
    """
    if isinstance(dry_run, bool):
        return DRY_RUN_SIZE if dry_run else None
    size = dry_run.get('size')
    if not isinstance(size, Sequence) or len(size) != 2 or set(dry_run) - {'size', '_scope_'}:
        raise ValueError(f'dry_run: True, False or dict(size=(H, W)) was expected, got {dict(dry_run)!r}')
    return tuple(size)
