"""How a tool ends: mistakes of the user and errors of the machine as one line, without leaving an empty run behind."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmkd.utils.errors import RankError, RunError, UserError
from mmkd.utils.walk import walk

from .explain import explain

if TYPE_CHECKING:
    from mmengine.config import Config

__all__ = ['leaves_nothing_behind', 'machine_error', 'run_tool', 'user_errors', 'warn']

# Exceptions by which mmengine, mmdet and mmkd refuse a config while something is built from it.
BUILD_ERRORS = (AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)

# Errors of the disk and of the process's limits, which no change of the config mends.
MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
LOST_CONNECTION = re.compile('Connection closed by peer|Connection reset by peer|Broken pipe')
OUT_OF_MEMORY = re.compile('out of memory|allocate memory', re.IGNORECASE)
UNKNOWN_TYPE = re.compile(r'(\S+) is not in the \S+( \S+)* registry')  # mmengine's words
PATIENCE = 5.0  # seconds that a process with an error waits for rank 0


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool. A :class:`UserError` becomes one line on stderr (of rank 0) and exit code 2; a :class:`RunError`,
    or an error of the machine such as a full disk, one line and exit code 1.

    What :func:`mmkd.apis.explain.explain` knows to be about data or settings is a UserError too. ``MMKD_TRACEBACK=1``
    shows the traceback as well.
    """
    try:
        main()
    except UserError as error:
        _end(str(error), 2, from_any_rank=isinstance(error, RankError))
    except Exception as error:
        if explain(error) is not None:
            _end(explain(error), 2, from_any_rank=True)
        message = str(error) if isinstance(error, RunError) else machine_error(error)
        if message is None:
            raise
        _end(message, 1)


def _end(message: str, code: int, from_any_rank: bool = False) -> None:
    """Ends the process with one line. The other processes of a run of several hear of it at once."""
    if os.environ.get('MMKD_TRACEBACK'):
        traceback.print_exc()
    for_launcher = os.environ.get('TORCHELASTIC_ERROR_FILE')  # torchrun's; mmkd.apis.dist_run shows it
    if os.environ.get('RANK', '0') == '0' or (from_any_rank and not for_launcher):
        print(f'error: {message}', file=sys.stderr)
    if for_launcher:
        Path(for_launcher).write_text(json.dumps(dict(message=message, timestamp=int(time.time()))))
        if os.environ.get('RANK') != '0':  # which may be about to say the same and to clean up
            time.sleep(PATIENCE)
    torch = sys.modules.get('torch')
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        # taking the interpreter down may wait for the other processes, which wait for this one
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def machine_error(error: BaseException) -> str | None:
    """One line about an error that lies with the machine, and None for any other."""
    text = _one_line(error)
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        where = f'{error.filename}: ' if error.filename else ''
        return f'{where}{error.strerror}; after that is mended, --resume continues from the last checkpoint'
    if isinstance(error, RuntimeError) and LOST_CONNECTION.search(text):
        return f'another process of the run has ended: {text[:300]}'
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(text)):
        return f'out of memory: {text[:300]}; a smaller batch_size or smaller images need less'
    return None


def warn(message: str) -> None:
    """Shows one line on stderr, of rank 0, about something that is allowed and rarely meant."""
    if os.environ.get('RANK', '0') == '0':
        print(f'warning: {message}', file=sys.stderr)


@contextlib.contextmanager
def user_errors(
    doing: str, cfg: Config | None = None, kinds: tuple[type[Exception], ...] = BUILD_ERRORS
) -> Iterator[None]:
    """Turns the exceptions of building from a config into a :class:`UserError`.

    Args:
        doing: What was tried, for the message: ``'building the model'``.
        cfg: The config, in which the key that the exception is about is looked for.
        kinds: The exceptions that count.
    """
    try:
        yield
    except UserError:
        raise
    except kinds as error:
        trouble = machine_error(error)
        if trouble is not None:
            raise RunError(f'{doing}: {trouble}') from error
        message = _one_line(error)
        keys = _keys_meant(message, cfg) if cfg is not None else []
        if isinstance(error, OSError) and error.filename and not keys and _is_work_dir(error.filename, cfg):
            what = f'work_dir: {error.filename}: {error.strerror}; give a folder that can be written to with --work-dir'
            raise UserError(what) from error
        where = f'{keys[0]}: ' if keys else ''
        message += _prefix_meant(message)
        raise UserError(f'{doing}: {where}{message} (MMKD_TRACEBACK=1 shows more)') from error


def _is_work_dir(path: str, cfg: Config | None) -> bool:
    """Whether a file or folder is the work dir, lies in it, or holds it."""
    if cfg is None or not cfg.get('work_dir'):
        return False
    work_dir, path = Path(cfg.work_dir).absolute(), Path(os.fsdecode(path)).absolute()
    return work_dir.is_relative_to(path) or path.is_relative_to(work_dir)


def _one_line(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)  # a KeyError quotes itself
    text = ' '.join(text.split()).partition(' Please check whether the value of')[0]
    variable = re.match(r'`(\w+)` cannot be found in `os.environ`', text)
    if variable and variable[1] in os.environ:  # mmengine's words for one that is there, and empty
        return f"the environment variable {variable[1]} is empty; set it, or unset it to take the config's default"
    return text or type(error).__name__


def _prefix_meant(message: str) -> str:
    """What to write for a type that was not found, where mmkd has it under a name that is not mmkd's alone."""
    from mmkd.registry import SHARED_NAMES

    unknown_type = UNKNOWN_TYPE.search(message)
    if not unknown_type or unknown_type[1] not in SHARED_NAMES:
        return ''
    return f'; it is a name of several libraries: mmkd.{unknown_type[1]} means that of mmkd'


def _keys_meant(message: str, cfg: Config) -> list[str]:
    """The dotted keys of the config that a registry's or a constructor's message is about."""
    unknown_type = UNKNOWN_TYPE.search(message)
    unknown_argument = re.search(r"unexpected keyword argument '(\w+)'", message)
    found = []
    for key, value in walk(cfg._cfg_dict, ''):
        parts = key.split('.')
        if unknown_type and parts[-1] == 'type' and value == unknown_type[1]:
            found.append(key)
        if unknown_argument and unknown_argument[1] in parts:
            found.append(key[: key.index(unknown_argument[1]) + len(unknown_argument[1])])
    return found


@contextlib.contextmanager
def leaves_nothing_behind(folder: str | Path) -> Iterator[None]:
    """Removes the log and the folders that this process has made in ``folder`` when the block ends in a UserError.

    mmengine makes the work dir, a dated folder and a log before it builds the model: a typing error would otherwise
    leave one more empty run behind. (One that has logged a loss or a score is not empty.) Other runs may be writing to
    the same folder meanwhile, so only files known by name to be this process's go, and folders that are empty then.
    """
    folder = Path(folder).absolute()
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    before = set(folder.iterdir()) if folder.is_dir() else set()
    try:
        yield
    except Exception as error:
        users = isinstance(error, UserError) or explain(error) is not None
        if users and os.environ.get('RANK', '0') == '0':
            _remove_own_files(folder, before)
            with contextlib.suppress(OSError):  # the first that is not empty
                for path in new_folders:
                    path.rmdir()
        raise


def _remove_own_files(folder: Path, before: set[Path]) -> None:
    """Removes the log of this process, the copies of the config, and the dated folder if it is empty then."""
    from mmengine.logging import MMLogger

    handlers = [handler for logger in MMLogger._instance_dict.values() for handler in logger.handlers]
    for log in {Path(handler.baseFilename) for handler in handlers if hasattr(handler, 'baseFilename')}:
        dated = log.parent
        if dated.parent != folder or dated in before:
            continue
        copy = dated / 'vis_data' / 'config.py'
        if {path for path in dated.rglob('*') if path.is_file()} - {log, copy}:
            continue  # it has come as far as to log losses or scores
        config = copy.read_bytes() if copy.is_file() else None
        own = [path for path in set(folder.glob('*.py')) - before if path.read_bytes() == config]
        for path in (log, copy, *own):
            path.unlink(missing_ok=True)
        for path in (copy.parent, dated):
            with contextlib.suppress(OSError):
                path.rmdir()
