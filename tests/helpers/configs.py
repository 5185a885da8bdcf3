"""The configs that come with mmkd, and what their tests share."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def shipped_configs(*folders: str) -> list[str]:
    """The configs below some folders of the repository, without those that are parts of others, as paths in it."""
    paths = [path for folder in folders or ('configs', 'projects') for path in (ROOT / folder).rglob('*.py')]
    of_configs = [path.relative_to(ROOT) for path in paths if 'configs' in path.relative_to(ROOT).parts]
    return sorted(str(path) for path in of_configs if not {'_base_', '_gates_'} & set(path.parts))
