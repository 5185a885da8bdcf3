"""Options of the algorithms that take several forms."""

from __future__ import annotations

from typing import Any

__all__ = ['one_of']


def one_of(name: str, value: Any, other_name: str, other: Any) -> Any:
    """The one of two options that is given.

    Raises:
        ValueError: None is, or both.
    """
    if (value is None) == (other is None):
        given = 'none' if value is None else 'both'
        raise ValueError(f'{name}, {other_name}: one of the two was expected, got {given}')
    return other if value is None else value
