"""Where a run that ended too early goes on."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mmengine.logging import print_log

__all__ = ['find_latest_checkpoint']

# iter_20.pth, epoch_3.pth; neither best_acc_iter_20.pth, which has no optimizer, nor iter_20_student.pth
NUMBERED = re.compile(r'(?!best_).*_(\d+)\.pth')


def find_latest_checkpoint(work_dir: str | Path) -> str | None:
    """The newest checkpoint in a work dir that is whole.

    It is the one that ``last_checkpoint`` names, unless a later one lies beside it (the run was killed before it could
    write that file) or it is gone or damaged. A checkpoint is later if its number is higher and it was written later:
    numbers alone would find what an earlier run has left, times alone change when a folder is copied.

    Args:
        work_dir: The folder. It may have been moved since ``last_checkpoint`` was written.

    Returns:
        The file, or what stands in ``last_checkpoint`` if that is an address or a folder; None where there is neither a
        checkpoint nor the name of one.

    Raises:
        FileNotFoundError: No checkpoint is whole, although there should be one; says which was expected.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in named or (named and Path(named).is_dir()):  # not on this disk; sharded over several files
        return named
    candidates = _by_age(Path(work_dir), named)
    for number, path in enumerate(candidates):
        problem = _problem(path)
        if problem is None:
            if number or (named and Path(named).name != path.name):
                print_log(f'Resuming from {path}, the newest whole checkpoint; last_checkpoint names {named or "none"}')
            return str(path)
        print_log(f'{path} is left out: {problem}', level=logging.WARNING)
    if not named and not candidates:
        return None
    raise FileNotFoundError(
        f'--resume: {pointer} names {named or "nothing"}, which is not there or not whole, and there is no other whole '
        f'checkpoint in {work_dir}; give one by --resume FILE, or start anew without --resume'
    )


def _by_age(folder: Path, named: str) -> list[Path]:
    """The checkpoints of a folder, and the one that is named, the newest first."""
    files = [path for path in folder.glob('*.pth') if path.is_file() and NUMBERED.fullmatch(path.name)]
    files.sort(key=lambda path: (path.stat().st_mtime_ns, _number(path)), reverse=True)
    pointed = next((path for path in (Path(named), folder / Path(named).name) if named and path.is_file()), None)
    if pointed is None:
        return files
    others = [path for path in files if path.resolve() != pointed.resolve()]
    later = [path for path in others if _is_later(path, pointed)]
    return [*later, pointed, *(path for path in others if path not in later)]


def _is_later(path: Path, other: Path) -> bool:
    return _number(path) > _number(other) and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _number(path: Path) -> int:
    match = NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else -1


def _problem(path: Path) -> str | None:
    """Why a run cannot go on from a file; None where it can."""
    from .checkpoint import load_checkpoint_file

    try:
        checkpoint = load_checkpoint_file(path)
    except ValueError as error:
        return str(error)
    return None if 'meta' in checkpoint and 'message_hub' in checkpoint else 'it is not the state of a run'
