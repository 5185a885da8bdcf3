"""Walking through nested configs."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ['walk']


def walk(node, key: str) -> Iterator[tuple[str, object]]:
    """Every leaf of a nested config, with its dotted key below ``key``."""
    if isinstance(node, (dict, list, tuple)) and node:
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from walk(value, f'{key}.{name}' if key else str(name))
    else:
        yield key, node
