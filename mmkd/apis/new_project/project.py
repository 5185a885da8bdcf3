"""Writes a project: data, teacher, student, student + KD, and a page of commands; whole or not at all."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmkd.apis.errors import UserError

from .checks import CHECKS, check_labels
from .configs import write_configs
from .convert import write_annotations
from .folder import Folder
from .formats import read_labels
from .kinds import as_kind
from .records import Image, Labels, Problem
from .report import write_data_report
from .splits import split_images

__all__ = ['Created', 'create_project']


@dataclass(frozen=True)
class Created:
    """What was made.

    Attributes:
        folder: The project.
        labels: The data set as it was read, without what was left out.
        splits: Its images.
        problems: What was wrong with it.
    """

    folder: Path
    labels: Labels
    splits: dict[str, list[Image]]
    problems: list[Problem]

    def summary(self) -> str:
        """Lines for the terminal and the project's page."""
        counts = ', '.join(f'{len(images)} {split}' for split, images in self.splits.items())
        objects = sum(len(image.objects) for images in self.splits.values() for image in images)
        what = dict(instances=f'{objects} objects with masks', boxes=f'{objects} boxes', semantic='label maps')
        names, number = ', '.join(map(str, self.labels.classes)), len(self.labels.classes)
        classes = f'{number} class{"es" if number > 1 else ""} ({names})'
        return f'{self.labels.format}: {counts} images with {what[self.labels.kind]} of {classes}'

    def findings(self) -> str:
        """A line for each kind of problem."""
        lines = []
        for kind, check in CHECKS.items():
            found = [problem for problem in self.problems if problem.check == kind]
            if found:
                first = f'{found[0].name}: {found[0].detail}'
                lines.append(f'  {len(found):5d}  {check.title} ({check.action}); first {first}')
        return '\n'.join(lines) or '  nothing wrong was found'


def create_project(
    options: argparse.Namespace, write: Callable[[Created, Path, Path, int | None], Any] | None = None
) -> Created:
    """Makes a project of a folder of images; the folder's own files stay as they are.

    Args:
        options: Those of ``mmkd new``, see :mod:`mmkd.apis.commands.new`.
        write: What writes its configs; default :func:`write_configs`.

    Returns:
        What was made.

    Raises:
        UserError: The folder cannot be used, or the project is there already.
    """
    source = Path(options.folder)
    if not source.is_dir():
        raise UserError(f'folder: {options.folder!r} is not a folder (looked for from {Path.cwd()})')
    target = Path(options.out or f'{source.resolve().name}_kd').absolute()
    if target.resolve().is_relative_to(source.resolve()):
        raise UserError(f'--out: {str(target)!r} is inside the folder of the images, which is left as it is')
    if target.exists() and any(target.iterdir()) and not options.force:
        raise UserError(f'--out: {str(target)!r} is there already; --force writes its configs and labels anew')
    if options.max_iters is not None and options.max_iters < 2:
        raise UserError(f'--max-iters: {options.max_iters} was given, at least 2 were expected: the first one warms up')
    labels = read_labels(Folder(source), options)
    problems = check_labels(labels)
    if options.kind is not None:
        as_kind(labels, options.kind)
    splits = split_images(labels, options.val)
    created = Created(target, labels, splits, problems)

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f'.{target.name}-', dir=target.parent))
    try:
        write_annotations(labels, splits, scratch / 'data')
        write_data_report(created, scratch / 'data_report.html')
        (write or write_configs)(created, source.resolve(), scratch, options.max_iters)
        _move_in(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return created


def _move_in(scratch: Path, target: Path) -> None:
    """Everything at once where nothing is yet; file by file where a project is, whose trainings stay."""
    os.chmod(scratch, 0o777 & ~_umask())  # a temporary folder is its owner's alone
    if not target.exists():
        scratch.rename(target)
        return
    shutil.rmtree(target / 'data', ignore_errors=True)  # labels of images that are gone
    for path in sorted(scratch.rglob('*'), key=lambda path: path.name == 'README.md'):
        if path.is_file():
            place = target / path.relative_to(scratch)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
