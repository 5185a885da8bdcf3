"""Every workaround for the stack mmkd stands on. Each says what breaks, on which versions, and why this mends it.

mmkd runs on two lines of the OpenMMLab packages: *onedl*, which is maintained, and *openmmlab*, the original. The mends
hang on the import of the module they are for (see :class:`_ImportHooks`), so ``import mmkd`` stays light: this module
uses the standard library only until mmengine or mmrazor is imported, by mmkd or by anyone else.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType

from . import compat_inference, compat_ops
from .allow_list import allowed_globals
from .environment import check_environment, check_torch, explained_imports, has_distribution

__all__ = [
    'check_environment',
    'checkpointing_with_gradients',
    'explained_imports',
    'import_mmrazor',
    'install_mends',
    'load_checkpoints_safely',
    'safe_globals',
]


def install_mends() -> None:
    """Arranges that each mend is applied when its module is imported, or now if that has happened."""
    _after_import('mmengine.utils.package_utils', _mend_package_look_up)
    _after_import('mmengine.config.utils', _mend_config_packages)
    _after_import('mmengine.runner.checkpoint', _mend_checkpoint_loading)
    _after_import('mmengine.runner.runner', _mend_hook_registration)
    _after_import('mmengine.logging.logger', _mend_printing)
    _after_import('mmdet.engine.hooks.mean_teacher_hook', _mend_mean_teacher)
    for name in ('deform_conv', 'modulated_deform_conv'):
        _after_import(f'mmcv.ops.{name}', compat_ops.mend_deformable_convolution)
    _after_import('mmcv.ops.roi_align', compat_ops.mend_roi_align)
    for host in ('mmdet', 'mmseg'):
        _after_import(f'{host}.apis.inference', compat_inference.open_students)
    _around_import('mmrazor', _accept_mmcv_version)
    for name in ('mmrazor.structures', 'mmrazor.models'):
        _around_import(name, _close_quantization_gate)
    _after_import('mmrazor.engine.hooks.stop_distillation_hook', _mend_stop_hook)


# -------------------------------------------------------------------------------------------------------------- mmrazor


def import_mmrazor() -> ModuleType:
    """Imports mmrazor with all its components registered, and returns it.

    mmrazor 1.0.0 by itself imports neither on PyTorch 2 nor with mmcv newer than 2.1; see the two mends below.

    Raises:
        ImportError: It is missing, or lacks something. Says what to install.
    """
    if 'mmrazor.models' not in sys.modules or 'mmrazor.engine' not in sys.modules:
        check_environment(('mmengine', 'mmcv', 'mmrazor'))
    import_module('mmrazor.models')
    import_module('mmrazor.engine')
    return import_module('mmrazor')


_patching = threading.RLock()


def _accept_mmcv_version(module: ModuleType, execute: Callable[[], None]) -> None:
    """``import mmrazor`` asserts mmcv <= 2.1.0; the OneDL line is at 2.3.6, with the same interface.

    mmcv shows another version while ``mmrazor/__init__.py`` runs, and only if its check has failed.
    """
    try:
        execute()
    except AssertionError as error:
        if 'MMCV' not in str(error):
            raise
        mmcv = import_module('mmcv')
        with _patching, _patched(mmcv, '__version__', '2.1.0'):
            execute()


def _close_quantization_gate(module: ModuleType, execute: Callable[[], None]) -> None:
    """``import mmrazor.models`` builds quantization tables from parts that PyTorch 2.0 removed (``reverse2``, ...).

    The released 1.0.0 opens this gate for PyTorch >= 1.13 without an upper bound, later sources up to 1.13.1. The gate
    asks ``mmrazor.digit_version(torch.__version__)``, which answers 1.12.1 during the import; mmrazor then takes the
    branch that leaves quantization out. Distillation does not use it.
    """
    torch = import_module('torch')
    if hasattr(import_module('torch.ao.quantization.fuser_method_mappings'), 'reverse2'):
        return execute()
    mmrazor = sys.modules['mmrazor']
    digit_version = mmrazor.digit_version

    def without_quantization(version: str, *args, **kwargs):
        return digit_version('1.12.1' if version == torch.__version__ else version, *args, **kwargs)

    with _patching, _patched(mmrazor, 'digit_version', without_quantization):
        try:
            execute()
        finally:
            _rebind('mmrazor', {without_quantization: digit_version})


def _mend_stop_hook(module: ModuleType) -> None:
    """mmrazor's hook (1.0.0) never stops an iteration-based run, whose number of the epoch stays 0; mmkd's does."""
    hook = import_module('mmkd.engine.hooks.stop_distill_hook').StopDistillHook
    module.HOOKS.register_module(name='StopDistillHook', force=True, module=hook)


@contextmanager
def _patched(owner, name: str, value) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _rebind(package: str, replacements: dict[Callable, Callable]) -> None:
    """Replaces functions in every imported module of a package, where ``from x import f`` has copied them."""
    for name, module in list(sys.modules.items()):
        if module is not None and (name == package or name.startswith(f'{package}.')):
            for key, value in list(vars(module).items()):
                if isinstance(value, type(_rebind)) and value in replacements:
                    setattr(module, key, replacements[value])


# ---------------------------------------------------------------------------------------------- configs by package name


def _mend_config_packages(config_utils: ModuleType) -> None:
    """Makes ``_base_ = 'mmkd::...'`` resolve, and ``'mmseg::...'`` on the OneDL line.

    mmengine (0.10.7 and onedl 0.10.12) resolves ``package::`` only for the packages of a fixed table. The table also
    maps ``mmseg`` to the distribution ``mmsegmentation``, which the OneDL line has under another name.
    """
    table = config_utils.MODULE2PACKAGE
    table.setdefault('mmkd', 'mmkd')
    if not has_distribution(table.get('mmseg', 'mmseg')) and importlib.util.find_spec('mmseg'):
        table['mmseg'] = 'mmseg'


def _mend_package_look_up(package_utils: ModuleType) -> None:
    """Makes mmengine 0.10.7 find packages without ``pkg_resources``, and those installed by ``pip install -e``.

    It looks packages up with ``pkg_resources``, which setuptools 82 dropped and Python 3.12 no longer brings along:
    every ``package::`` base then fails. Of an editable install it returns a folder that does not exist. Later versions,
    like onedl 0.10.12, use ``importlib`` and are left alone.
    """
    replacements = {'is_installed': _is_installed, 'get_installed_path': _installed_path, 'package2module': _module_of}
    before = {name: getattr(package_utils, name) for name in replacements}
    if 'pkg_resources' in before['get_installed_path'].__code__.co_names:
        _rebind('mmengine', {before[name]: replacements[name] for name in replacements})


def _is_installed(package: str) -> bool:
    """Whether there is a distribution or a module of this name."""
    if has_distribution(package):
        return True
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None


def _installed_path(package: str) -> str:
    """The folder of a module, given its name or that of its distribution.

    Raises:
        PackageNotFoundError: It is not installed.
        RuntimeError: It is a namespace package, which has no folder of its own.
    """
    spec = importlib.util.find_spec(package) or importlib.util.find_spec(_module_of(package))
    if spec is None:
        raise PackageNotFoundError(package)
    if spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package: it has no folder')
    return str(Path(spec.origin).parent)


def _module_of(package: str) -> str:
    """The module that a distribution provides."""
    files = distribution(package).files or []
    modules = sorted({file.parts[0] for file in files if len(file.parts) == 2 and file.name == '__init__.py'})
    if not modules:
        raise ValueError(f'distribution {package} does not say which module it provides')
    return modules[0]


# -------------------------------------------------------------------------------------------- activation checkpointing


@contextmanager
def checkpointing_with_gradients() -> Iterator[None]:
    """Context in which PyTorch's activation checkpointing has ``use_reentrant=False`` where the caller says nothing.

    mmcv, mmdet, mmseg and mmengine (all versions) leave the option out, and PyTorch takes that for True: what runs
    inside then has no gradients until backward runs it again, and a loss on a tap in there reaches no layer. The
    default of the function is changed, not the function, since some import it by name.
    """
    checkpoint = import_module('torch.utils.checkpoint').checkpoint
    checkpoint = getattr(checkpoint, '__wrapped__', checkpoint)
    before = checkpoint.__kwdefaults__
    with _patched(checkpoint, '__kwdefaults__', dict(before, use_reentrant=before['use_reentrant'] or False)):
        yield


# ----------------------------------------------------------------------------- loading checkpoints without running code


def safe_globals():
    """Context in which ``torch.load(..., weights_only=True)`` accepts what a training run of mmengine saves.

    The message hub in each checkpoint holds log buffers, numpy scalars and config dicts, which PyTorch refuses.

    Raises:
        ImportError: PyTorch is too old to have such a list.
    """
    import torch

    check_torch()
    # Leaving the context removes what it was given, also if that had been allowed for good before.
    present = torch.serialization.get_safe_globals()
    return torch.serialization.safe_globals([entry for entry in allowed_globals() if entry not in present])


def _mend_checkpoint_loading(checkpoint: ModuleType) -> None:
    """Lets mmengine 0.10.7 load its own checkpoints on PyTorch >= 2.6, where ``weights_only=True`` is the default.

    It calls ``torch.load`` without an allow-list, so resuming and testing fail. onedl 0.10.12 has a list of its own.
    """
    import torch

    if not hasattr(checkpoint, '_safe_torch_load') and hasattr(torch.serialization, 'add_safe_globals'):
        torch.serialization.add_safe_globals(allowed_globals())


def load_checkpoints_safely(keys: Mapping[str, str] | None = None) -> None:
    """Has mmengine load every checkpoint with :func:`mmkd.utils.checkpoint.load_checkpoint_file`, in this process.

    onedl-mmengine 0.10.12 unpickles a file that is not safe to load after all, with a warning, and its allow-list
    holds ``getattr``, by which a file reaches any code. On both lines a download is kept under its last name, whatever
    server it is from, and weights of which none fits are only warned of. What mmengine loads by itself is
    ``load_from``, ``--resume``, and ``init_cfg`` of every backbone that is not mmkd's.

    mmkd's tools and algorithms call this; ``import mmkd`` alone changes nothing, since elsewhere a process may have
    its reasons to unpickle a file. Ways to load that others have registered with mmengine stay as they are.

    Args:
        keys: Config keys of checkpoints by their addresses, for messages.

    Raises:
        ImportError: PyTorch is too old to load anything safely.
    """
    check_torch()
    from mmengine.registry import WEIGHT_INITIALIZERS
    from mmengine.runner.checkpoint import CheckpointLoader

    from mmkd.utils.mmengine_checkpoints import CheckedPretrainedInit, load_from_mmkd, name_checkpoints

    name_checkpoints(keys or {})
    theirs = [p for p, loader in CheckpointLoader._schemes.items() if loader.__module__ == 'mmengine.runner.checkpoint']
    CheckpointLoader.register_scheme([*theirs, 'file://'], load_from_mmkd, force=True)
    WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=CheckedPretrainedInit, force=True)


# ------------------------------------------------------------------------------------------------------ hooks of models


def _mend_hook_registration(runner: ModuleType) -> None:
    """Lets a model bring the hooks that its training relies on; mmengine, all versions, asks the config alone.

    A base config cannot do that: a list of ``custom_hooks`` in its child takes the place of its own, and beside another
    base with such a list it is refused. So the runner of a model with ``runner_hooks`` is prepared here, also in
    mmdet's and mmseg's own tools. Runs of other models are left alone.
    """
    register_hooks = runner.Runner.register_hooks

    @functools.wraps(register_hooks)
    def register_those_of_the_model_too(self, *args, **kwargs) -> None:
        register_hooks(self, *args, **kwargs)
        if hasattr(getattr(self.model, 'module', self.model), 'runner_hooks'):
            import_module('mmkd.engine').prepare_runner(self)

    runner.Runner.register_hooks = register_those_of_the_model_too


def _mend_mean_teacher(module: ModuleType) -> None:
    """Lets mmdet's hook, all versions, average the two networks of a semi-supervised detector that is itself taught.

    It takes ``student`` and ``teacher`` of the model. Those of a distillation algorithm are others: the student there
    is the whole detector, and the teacher is never written to.
    """
    momentum_update = module.MeanTeacherHook.momentum_update

    @functools.wraps(momentum_update)
    def inside_of_the_student(self, model, momentum: float) -> None:
        if getattr(model, 'optimizes_student', False):
            model = model.student
            if not (hasattr(model, 'student') and hasattr(model, 'teacher')):
                raise ValueError(
                    'custom_hooks: MeanTeacherHook averages a student into its teacher, both in one semi-supervised '
                    f'detector; the student of this distillation, a {type(model).__name__}, has no such pair, and the '
                    'teacher of a distillation never changes. Leave the hook out, or use EMAHook'
                )
        momentum_update(self, model, momentum)

    module.MeanTeacherHook.momentum_update = inside_of_the_student


def _mend_printing(logger: ModuleType) -> None:
    """Keeps four lines ``Could not import OneDL`` off the screen, which onedl mmdet 3.5.1 and mmseg 1.4.2 print.

    They are of level DEBUG, which ``print_log`` does not look at without a logger. All else is printed as it was.
    """
    print_log = logger.print_log

    @functools.wraps(print_log)
    def without_onedl(msg, *args, **kwargs) -> None:
        if not str(msg).startswith('Could not import OneDL'):
            print_log(msg, *args, **kwargs)

    _rebind('mmengine', {print_log: without_onedl})


# --------------------------------------------------------------------------------------------------------- import hooks


class _ImportHooks(importlib.abc.MetaPathFinder):
    """Wraps the execution of chosen modules when they are imported; finding them is left to the ordinary finders."""

    def __init__(self):
        self.wrappers: dict[str, Callable[[ModuleType, Callable[[], None]], None]] = {}

    def find_spec(self, fullname, path=None, target=None):
        wrapper = self.wrappers.get(fullname)
        if wrapper is None:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _WrappingLoader(spec.loader, wrapper)
                return spec
        return None


class _WrappingLoader(importlib.abc.Loader):
    """Loads a module through its own loader, and has its execution wrapped."""

    def __init__(self, loader: importlib.abc.Loader, wrapper: Callable):
        self.loader = loader
        self.wrapper = wrapper

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader  # as if nobody had been in between
        self.wrapper(module, lambda: self.loader.exec_module(module))


_hooks = _ImportHooks()


def _around_import(name: str, wrapper: Callable[[ModuleType, Callable[[], None]], None]) -> None:
    """Has module ``name`` executed by ``wrapper(module, execute)``, unless it is imported already."""
    _hooks.wrappers[name] = wrapper
    if _hooks not in sys.meta_path:
        sys.meta_path.insert(0, _hooks)


def _after_import(name: str, mend: Callable[[ModuleType], None]) -> None:
    """Calls ``mend(module)`` once module ``name`` is imported; at once if it already is."""

    def execute_and_mend(module: ModuleType, execute: Callable[[], None]) -> None:
        execute()
        mend(module)

    if name in sys.modules:
        mend(sys.modules[name])
    else:
        _around_import(name, execute_and_mend)
