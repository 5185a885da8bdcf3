"""The config that ``mmkd distill`` writes: short, to be read, and to be trained once more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ['Written', 'source_of']

WIDTH = 118


class Written:
    """What stands in the config.

    Args:
        path: The file.
        base: Config that it inherits: of the student, or of the data.
        student: Keys of the student where ``base`` is one of data; None: ``base`` is the student's config.
        teacher: Key ``teacher``.
        distill: The losses, in the short form.
        comments: Lines before it.
        more: Further keys of the config.
    """

    def __init__(
        self,
        path: Path,
        base: str,
        student: Mapping | None,
        teacher: Mapping,
        distill: Mapping[str, Mapping],
        comments: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ):
        self.path, self.base, self.student, self.teacher = path, base, student, teacher
        self.distill = {name: dict(entry, loss=dict(entry['loss'])) for name, entry in distill.items()}
        self.comments = list(comments)
        self.more = dict(more or {})

    def write(self) -> None:
        """Writes the file."""
        student = '{{_base_.model}}' if self.student is None else source_of(self.student, 8)
        terms = ''.join(f'        {name}={source_of(entry, 8)},\n' for name, entry in self.distill.items())
        delete = '    _delete_=True,\n' if self.student is None else ''
        lines = [
            *(f'# {line}'.rstrip() for line in self.comments),
            f'_base_ = {self.base!r}',
            '',
            *(f'{key} = {value}' for key, value in self.more.items()),
            'model = dict(',
            f"{delete}    type='mmkd.DenseDistill',",
            f'    student={student},',
            f'    teacher={source_of(self.teacher, 4)},',
            '    distill=dict(',
            f'{terms}    ),',
            ')',
            '',
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text('\n'.join(lines))


def source_of(value: Any, indent: int = 0) -> str:
    """A value as one writes it in a config: ``dict(key=...)``, broken into lines where it is long."""
    line = _in_one_line(value)
    if indent + len(line) <= WIDTH or not isinstance(value, Mapping):
        return line
    inner = ' ' * (indent + 4)
    items = ''.join(f'{inner}{key}={source_of(item, indent + 4)},\n' for key, item in value.items())
    return f'dict(\n{items}{" " * indent})'


def _in_one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and key.isidentifier() for key in value):
            return f'dict({", ".join(f"{key}={_in_one_line(item)}" for key, item in value.items())})'
        return '{' + ', '.join(f'{key!r}: {_in_one_line(item)}' for key, item in value.items()) + '}'
    return repr(value)
