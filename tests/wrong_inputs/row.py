"""A row of the table of wrong inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ['Row']


@dataclass(frozen=True)
class Row:
    """A wrong input.

    Attributes:
        what: What is wrong, in words.
        command: Tool and arguments. DET, MASK, SEG and KD stand for the configs of :mod:`wrong_inputs.configs`,
            CKPT for a checkpoint of DET; everything else is as a user types it, in a folder with a data set ``data``.
        expected: A regular expression for the line: what, where, what was expected, what to do.
        make: Makes the wrong input in the folder.
        code: The exit code. 0: it is legal, and taken; ``expected`` is then a warning, or '' for none.
        environment: Variables that are set.
    """

    what: str
    command: str
    expected: str
    make: Callable[[Path], None] | None = None
    code: int = 2
    environment: dict | None = None
