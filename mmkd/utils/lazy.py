"""Packages whose names are loaded on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ['lazy_names']


def lazy_names(package: str, public: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], Iterable[str]]]:
    """``__getattr__`` and ``__dir__`` of a package: a command line's ``--help`` does not wait for PyTorch.

    Args:
        package: The package, ``__name__``.
        public: For each name the module below the package that has it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in public:
            return getattr(import_module(f'{package}.{public[name]}'), name)
        raise AttributeError(f'module {package!r} has no attribute {name!r}')

    def __dir__() -> list[str]:  # noqa: N807
        return sorted([*vars(import_module(package)), *public])

    return __getattr__, __dir__
