"""What mmkd needs around it, and one message that says what is missing, unfit, and how to mend it."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

__all__ = ['HOST_MODULES', 'NEEDS', 'TORCH_MINIMUM', 'check_environment', 'check_torch', 'explained_imports']


class Need(NamedTuple):
    """The versions of a module that mmkd works with, and the requirement that provides it on either line."""

    minimum: str
    below: str
    onedl: str
    openmmlab: str
    also: tuple[str, ...] = ()

    def distribution(self, line: str) -> str:
        return getattr(self, line).split('==')[0]


# The same pins as in requirements.txt and requirements-openmmlab.txt; a test compares them.
NEEDS = {
    'mmengine': Need('0.10.0', '1.0', 'onedl-mmengine==0.10.12', 'mmengine==0.10.7'),
    'mmcv': Need('2.1.0', '3.0', 'onedl-mmcv==2.3.6', 'mmcv==2.1.0'),
    'mmdet': Need('3.3.0', '4.0', 'onedl-mmdetection==3.5.1', 'mmdet==3.3.0'),
    'mmseg': Need('1.2.2', '2.0', 'onedl-mmsegmentation==1.4.2', 'mmsegmentation==1.2.2'),
    # mmrazor imports joblib without declaring it.
    'mmrazor': Need('1.0.0', '2.0', 'mmrazor==1.0.0', 'mmrazor==1.0.0', also=('joblib', 'ordered_set')),
}
# The first PyTorch that can be told by name what else than tensors a checkpoint may hold; setup.py asks for it too.
TORCH_MINIMUM = '2.6'
LINES = ('onedl', 'openmmlab')
# What networks, training and evaluation need. mmrazor is for distillation only.
HOST_MODULES = ('mmengine', 'mmcv', 'mmdet', 'mmseg')
# Old enough for pkg_resources, which mmcv 2.1.0's setup.py needs; new enough for the metadata of onedl-mmcv.
BUILD_TOOLS = "'setuptools>=77,<81' wheel ninja psutil packaging"
_HEADLESS = 'opencv-python-headless does without this display library'


def check_environment(modules: tuple[str, ...] = HOST_MODULES) -> None:
    """Raises one message about everything that is unfit: what was found, what is needed, what to install.

    Args:
        modules: Which of ``NEEDS`` to look at.

    Raises:
        ImportError: Something is missing, has a version that mmkd does not work with, or does not import.
    """
    problems = {'torch': problem} if (problem := _problem_with_torch()) else {}
    for name in modules:
        problem = _problem_with(name)
        if problem:
            problems[name] = problem
    if problems:
        listed = '\n'.join(f'  - {problem}' for problem in problems.values())
        commands = '\n'.join(f'  {command}' for command in _commands(problems))
        raise ImportError(f'mmkd cannot use this environment ({sys.prefix}):\n{listed}\nThis mends it:\n{commands}')


@contextmanager
def explained_imports(modules: tuple[str, ...] = HOST_MODULES) -> Iterator[None]:
    """Turns a failing import inside the context into the message of :func:`check_environment`, if that finds a cause.

    The stack's own version checks are assertions in the middle of an import, each about one package.
    """
    try:
        yield
    except (ImportError, AssertionError):
        check_environment(modules)
        raise


def check_torch() -> None:
    """Raises one sentence about a PyTorch that is missing or too old.

    Raises:
        ImportError: As it says.
    """
    problem = _problem_with_torch()
    if problem:
        raise ImportError(problem)


def _problem_with_torch() -> str | None:
    if importlib.util.find_spec('torch') is None:
        return 'torch is not installed'
    version = distribution('torch').version
    if _numbers(version) >= _numbers(TORCH_MINIMUM):
        return None
    return (
        f'torch {version} is installed; needed is >={TORCH_MINIMUM}, the first that reads checkpoints without running '
        'code in them'
    )


def _problem_with(name: str) -> str | None:
    """What is wrong with a module, or None."""
    need = NEEDS[name]
    wanted = f'needed is >={need.minimum},<{need.below}'
    if importlib.util.find_spec(name) is None:
        return f'{name} is not installed; {wanted}'
    rivals = sorted({need.distribution(line) for line in LINES if has_distribution(need.distribution(line))})
    if len(rivals) > 1:
        return f'{name} is installed twice, by {rivals[0]} and {rivals[1]}, which overwrite each other'
    missing = [module for module in need.also if importlib.util.find_spec(module) is None]
    if missing:
        return f'{name} needs {" and ".join(missing)}, not installed'
    try:
        version = _version_of(name)
    except Exception as error:  # whatever goes wrong inside a foreign import is what we are here to report
        return _describe(name, error)
    if not _numbers(need.minimum) <= _numbers(version) < _numbers(need.below):
        return f'{name} {version} is installed; {wanted}'
    return None


def _version_of(name: str) -> str:
    """The version of a module. All but mmrazor, whose import takes seconds, are imported to see that they can be."""
    if name == 'mmrazor':
        return distribution('mmrazor').version if has_distribution('mmrazor') else NEEDS['mmrazor'].minimum
    version = import_module(name).__version__
    if name == 'mmcv':
        import_module('torch')  # the compiled operators are linked against its libraries
        import_module('mmcv._ext')
    return version


def _describe(name: str, error: Exception) -> str:
    version = getattr(sys.modules.get(name), '__version__', '')
    title = f'{name} {version}' if version else name
    if isinstance(error, ModuleNotFoundError) and error.name == 'mmcv._ext':
        return f'{title} has no compiled operators (is it mmcv-lite?); needed is mmcv with RoIAlign, NMS and DCN'
    if 'undefined symbol' in str(error):
        return f'{title} was compiled for another PyTorch: {error}'
    if any(library in str(error) for library in ('libGL', 'libgthread', 'libSM', 'libXext', 'libXrender')):
        return f'{title} does not import: {error} ({_HEADLESS})'
    return f'{title} does not import: {type(error).__name__}: {error}'


def _commands(problems: dict[str, str]) -> list[str]:
    """The pip commands that mend the problems, for the line that is there already, else for the default one."""
    commands = []
    if 'torch' in problems:
        commands.append(f"pip install 'torch>={TORCH_MINIMUM}'")
    if any(_HEADLESS in problem for problem in problems.values()):
        version = f'=={distribution("opencv-python").version}' if has_distribution('opencv-python') else ''
        return [*commands, f'pip install --force-reinstall --no-deps opencv-python-headless{version}']
    unfit = [name for name in problems if name in NEEDS]
    line = _line_in_use()
    keep = {NEEDS[name].distribution(line) for name in unfit if 'installed twice' not in problems[name]}
    candidates = [NEEDS[name].distribution(other) for name in unfit for other in LINES]
    candidates += ['mmcv-lite', 'onedl-mmcv-lite'] if 'mmcv' in unfit else []
    unwanted = [name for name in dict.fromkeys(candidates) if name not in keep and has_distribution(name)]
    if unwanted:
        commands.append(f'pip uninstall -y {" ".join(unwanted)}')
    if 'mmcv' in unfit:
        commands.append(f'pip install {BUILD_TOOLS}  # to compile the operators of mmcv')
        rebuild = '--force-reinstall --no-deps --no-cache-dir ' if 'compiled' in problems['mmcv'] else ''
        commands.append(f'pip install --no-build-isolation {rebuild}{getattr(NEEDS["mmcv"], line)}')
    wanted = [getattr(NEEDS[name], line) for name in unfit if name != 'mmcv']
    wanted += [module.replace('_', '-') for name in unfit for module in NEEDS[name].also]
    if wanted:
        commands.append(f'pip install {" ".join(wanted)}')
    return commands


def _line_in_use() -> str:
    for name in ('mmcv', 'mmengine', 'mmdet', 'mmseg'):
        for line in LINES:
            if has_distribution(NEEDS[name].distribution(line)):
                return line
    return LINES[0]


def has_distribution(name: str) -> bool:
    """Whether pip has installed something of this name."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])


def report() -> None:
    """Prints what is installed, after checking that it is fit."""
    check_environment(tuple(NEEDS))
    torch = import_module('torch')
    versions = [f'{name} {_version_of(name)}' for name in NEEDS]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU'
    compiled = import_module('mmcv.ops').get_compiling_cuda_version()
    print(f'Ready: Python {sys.version.split()[0]}, torch {torch.__version__} on {device}, {", ".join(versions)}.')
    if torch.cuda.is_available() and compiled == 'not available':
        print("Note: mmcv's operators were compiled for the CPU only, so training on the GPU will not work.")
