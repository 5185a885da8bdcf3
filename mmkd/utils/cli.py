"""What the command-line tools share: one-line errors, reading a config, and the flags that change it."""

from __future__ import annotations

import argparse
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

from mmengine.config import Config, ConfigDict, DictAction

__all__ = [
    'RunError',
    'UserError',
    'add_common_arguments',
    'apply_amp',
    'apply_auto_scale_lr',
    'apply_resume',
    'leaves_nothing_behind',
    'load_config',
    'read_config',
    'resolve_config',
    'run_tool',
    'user_errors',
    'walk',
    'warn',
]

# Exceptions by which mmengine, mmdet and mmkd refuse a config while something is built from it.
BUILD_ERRORS = (AssertionError, AttributeError, ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)

# Errors of the disk and of the process's limits, which no change of the config mends.
MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE)
LOST_CONNECTION = re.compile('Connection closed by peer|Connection reset by peer|Broken pipe')
OUT_OF_MEMORY = re.compile('out of memory|allocate memory', re.IGNORECASE)
PATIENCE = 5.0  # seconds that a process with an error waits for rank 0

# Keys that mmengine's runner and the tools read although a config need not have them.
OPTIONAL_KEYS = {
    'activation_checkpointing',
    'auto_scale_lr',
    'cfg',
    'compile',
    'custom_hooks',
    'custom_imports',
    'data_preprocessor',
    'data_root',
    'efficient_conv_bn_eval',
    'experiment_name',
    'find_unused_parameters',
    'launcher',
    'load_from',
    'log_level',
    'model_wrapper_cfg',
    'param_scheduler',
    'randomness',
    'resume',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
    'work_dir',
}


class UserError(Exception):
    """Something the user can put right: shown as one line, without a traceback."""


class RankError(UserError):
    """A :class:`UserError` that one process of several met, about data that the others may not have seen."""


class RunError(Exception):
    """A run that cannot go on, through no mistake in its config: shown as one line, without a traceback."""


def run_tool(main: Callable[[], None]) -> None:
    """Runs a tool. A :class:`UserError` becomes one line on stderr (of rank 0) and exit code 2; a :class:`RunError`,
    or an error of the machine such as a full disk, one line and exit code 1.

    What :func:`mmkd.utils.explain.explain` knows to be about data or settings is a UserError too. ``MMKD_TRACEBACK=1``
    shows the traceback as well.
    """
    try:
        main()
    except UserError as error:
        _end(str(error), 2, from_any_rank=isinstance(error, RankError))
    except Exception as error:
        from .explain import explain

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
    for_launcher = os.environ.get('TORCHELASTIC_ERROR_FILE')  # torchrun's; mmkd.utils.dist_run shows it
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


def _keys_meant(message: str, cfg: Config) -> list[str]:
    """The dotted keys of the config that a registry's or a constructor's message is about."""
    unknown_type = re.search(r'(\S+) is not in the \S+( \S+)* registry', message)
    unknown_argument = re.search(r"unexpected keyword argument '(\w+)'", message)
    found = []
    for key, value in walk(cfg._cfg_dict, ''):
        parts = key.split('.')
        if unknown_type and parts[-1] == 'type' and value == unknown_type[1]:
            found.append(key)
        if unknown_argument and unknown_argument[1] in parts:
            found.append(key[: key.index(unknown_argument[1]) + len(unknown_argument[1])])
    return found


def walk(node, key: str) -> Iterator[tuple[str, object]]:
    """Every leaf of a nested config, with its dotted key below ``key``."""
    if isinstance(node, (dict, list, tuple)) and node:
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from walk(value, f'{key}.{name}' if key else str(name))
    else:
        yield key, node


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
        from .explain import explain

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


class _CfgOptions(DictAction):
    """mmengine's ``--cfg-options``, with a message where it would end in an unpacking error."""

    def __call__(self, parser, namespace, values, option_string=None):
        for value in values:
            if '=' not in value:
                parser.error(f'{option_string}: expected key=value, got {value!r}')
        super().__call__(parser, namespace, values, option_string)


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that training and testing share, under mmdet's names."""
    parser.add_argument('--work-dir', help='where logs and results go; default work_dirs/<name of the config>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_CfgOptions,
        metavar='KEY=VALUE',
        help='overrides in the config: model.teacher.ckpt=x.pth, key="[a,b]", key=a,b, key="[(a,b),(c,d)]" (quotes '
        'needed, no blanks inside); data_root=DIR moves every path below the old data_root',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes --local_rank before PyTorch 2.0 and --local-rank since; torchrun neither.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> Config:
    """Reads the config a tool was given and applies its common options.

    ``args.config`` may be a file or ``package::path``. The work dir is taken from the command line, else from the
    config, else it is ``work_dirs/<name of the config>``. The environment variable ``MMDET_DATASETS`` takes the place
    of a relative ``data_root``, as in mmdet.

    Raises:
        UserError: The file is missing or not a valid config, or an option names a key that nothing reads.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    for launcher, rank in (('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')):
        if args.launcher == launcher and rank in os.environ:
            os.environ.setdefault('RANK', os.environ[rank])  # as mmengine does later; an error is shown by rank 0 alone
    path, cfg = resolve_config(args.config), read_config(args.config)
    cfg.launcher = args.launcher
    options = dict(args.cfg_options or {})
    _check_option_keys(cfg, options)

    new_root = options.pop('data_root', None)
    old_root = cfg.get('data_root')
    if new_root is None and old_root and not os.path.isabs(old_root):
        new_root = os.environ.get('MMDET_DATASETS')
    if new_root is not None:
        move_data_root(cfg, str(new_root))
    with user_errors('--cfg-options'):
        cfg.merge_from_dict(options)

    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(path).stem)
    return cfg


def read_config(config: str) -> Config:
    """Reads a config given as a path or as ``package::path``.

    Raises:
        UserError: The file is missing or is no config. A config is a program: any exception may come out of it.
    """
    path = resolve_config(config)
    with user_errors(f'config {config}', kinds=(Exception,)):
        return Config.fromfile(path)


def resolve_config(config: str) -> str:
    """The file of a config given as a path or as ``package::path``.

    Raises:
        UserError: There is none.
    """
    if '::' in config:
        from mmengine.config.utils import _get_external_cfg_base_path, _get_package_and_cfg_path
        from mmengine.utils import get_installed_path

        with user_errors(f'config {config}'):
            package, relative = _get_package_and_cfg_path(config)
            return _get_external_cfg_base_path(get_installed_path(package), relative)
    if not Path(config).is_file():
        raise UserError(f'config: {config!r} is not a file (looked for from {Path.cwd()})')
    return config


def _check_option_keys(cfg: Config, options: dict) -> None:
    known = set(cfg.keys()) | OPTIONAL_KEYS
    for key in options:
        first = key.split('.')[0]
        if first not in known:
            import difflib

            near = difflib.get_close_matches(first, known, n=1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise UserError(f'--cfg-options {key}: the config has no key {first!r}{hint}')


def move_data_root(cfg: Config, new_root: str) -> None:
    """Replaces ``cfg.data_root`` in every path of the data loaders and evaluators that begins with it.

    In a merged config the paths no longer refer to ``data_root``, so setting it alone would change nothing.

    Raises:
        UserError: The config has no ``data_root``.
    """
    old_root = cfg.get('data_root')
    if not old_root:
        raise UserError('data_root: the config has none to replace; override the paths of the data loaders instead')
    if old_root.endswith('/') and not new_root.endswith('/'):
        new_root += '/'

    def move(node):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            if isinstance(value, str) and value.startswith(old_root):
                node[key] = new_root + value[len(old_root) :]
            elif isinstance(value, (dict, list)):
                move(value)

    for key, value in cfg.items():
        if key.endswith(('_dataloader', '_evaluator', '_dataset')) and isinstance(value, (dict, list)):
            move(value)
    cfg.data_root = new_root


def student_optim_wrapper(cfg: Config) -> tuple[str, ConfigDict]:
    """The key and the config of the optimizer wrapper that trains the student.

    It is ``optim_wrapper`` itself, also with a constructor that adds further optimizers beside it, or the entry
    ``architecture`` of mmrazor's ``SeparateOptimWrapperConstructor``.
    """
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        raise UserError('optim_wrapper: the config has none')
    if 'optimizer' not in wrapper:
        for name in ('architecture', 'student'):
            if isinstance(wrapper.get(name), dict):
                return f'optim_wrapper.{name}', wrapper[name]
    return 'optim_wrapper', wrapper


def apply_amp(cfg: Config) -> None:
    """Turns on automatic mixed precision for the student, as ``--amp`` of mmdet does.

    Raises:
        UserError: There is no accelerator, or the optimizer wrapper is one that has no mixed-precision form.
    """
    from mmengine.device import get_device

    if get_device() == 'cpu':
        raise UserError('--amp: mixed precision needs an accelerator, and none was found here; leave it out on a CPU')
    key, wrapper = student_optim_wrapper(cfg)
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f"--amp: {key}.type is {kind!r}; 'OptimWrapper' was expected")
    wrapper.type = 'AmpOptimWrapper'
    wrapper.setdefault('loss_scale', 'dynamic')


def apply_auto_scale_lr(cfg: Config) -> None:
    """Turns on scaling of the learning rate with the batch size, as ``--auto-scale-lr`` of mmdet does.

    Raises:
        UserError: The config does not say for which batch size its learning rate is meant.
    """
    if not isinstance(cfg.get('auto_scale_lr'), dict) or 'base_batch_size' not in cfg.auto_scale_lr:
        raise UserError(
            '--auto-scale-lr: auto_scale_lr.base_batch_size is missing from the config, so it is not known for which '
            'batch size the learning rate is meant; add auto_scale_lr = dict(enable=False, base_batch_size=16)'
        )
    cfg.auto_scale_lr.enable = True


def apply_resume(cfg: Config, resume: str | None) -> None:
    """Applies ``--resume``: ``'auto'`` continues from the last checkpoint of the work dir, a path from that file."""
    if resume is None:
        return
    cfg.resume = True
    cfg.load_from = None if resume == 'auto' else resume
