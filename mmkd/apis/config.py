"""Reading a config, and the options of the command line that change it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction

from mmkd.utils.errors import UserError

from .errors import user_errors

__all__ = [
    'add_cfg_options',
    'add_common_arguments',
    'apply_cfg_options',
    'load_config',
    'move_data_root',
    'read_config',
    'resolve_config',
]

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
    'tensorboard',
    'tta_model',
    'tta_pipeline',
    'work_dir',
}


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
    add_cfg_options(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch passes --local_rank before PyTorch 2.0 and --local-rank since; torchrun neither.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Adds the option that overrides keys of the config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_CfgOptions,
        metavar='KEY=VALUE',
        help='overrides in the config: model.teacher.ckpt=x.pth, key="[a,b]", key=a,b, key="[(a,b),(c,d)]" (quotes '
        'needed, no blanks inside); data_root=DIR moves every path below the old data_root',
    )


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
    apply_cfg_options(cfg, args.cfg_options)

    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', Path(path).stem)
    return cfg


def apply_cfg_options(cfg: Config, options: dict | None) -> None:
    """Overrides keys of a config, as ``--cfg-options`` and the environment variable ``MMDET_DATASETS`` say.

    Raises:
        UserError: An option names a key that nothing reads.
    """
    options = dict(options or {})
    _check_option_keys(cfg, options)
    new_root = options.pop('data_root', None)
    old_root = cfg.get('data_root')
    if new_root is None and old_root and not os.path.isabs(old_root):
        new_root = os.environ.get('MMDET_DATASETS')
    if new_root is not None:
        move_data_root(cfg, str(new_root))
    with user_errors('--cfg-options'):
        cfg.merge_from_dict(options)


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
