"""One message says everything that is wrong with the environment, and the commands in it are the right ones."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from mmkd import environment
from mmkd.environment import check_environment, explained_imports

ONEDL = {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmsegmentation', 'mmrazor'}
OPENMMLAB = {'mmengine', 'mmcv', 'mmdet', 'mmsegmentation', 'mmrazor'}
VERSIONS = dict(mmengine='0.10.12', mmcv='2.3.6', mmdet='3.5.1', mmseg='1.4.2', torch='2.13.0', mmrazor='1.0.0')


@pytest.fixture
def pretend(monkeypatch):
    """Pretends that other things are installed: distributions, versions of modules, errors on their import."""

    def apply(distributions=ONEDL, absent=(), versions=None, errors=None):
        found, failing = {**VERSIONS, **(versions or {})}, errors or {}

        def find_spec(name):
            return None if name in absent else ModuleSpec(name, None)

        def import_module(name):
            if name in failing:
                monkeypatch.delitem(sys.modules, name, raising=False)
                raise failing[name]
            module = ModuleType(name)
            module.__version__ = found.get(name, '')
            monkeypatch.setitem(sys.modules, name, module)
            return module

        monkeypatch.setattr(environment.importlib.util, 'find_spec', find_spec)
        monkeypatch.setattr(environment, 'import_module', import_module)
        monkeypatch.setattr(environment, 'has_distribution', lambda name: name in distributions)
        monkeypatch.setattr(environment, 'distribution', lambda name: SimpleNamespace(version=found[name]))

    return apply


def message(modules=environment.HOST_MODULES):
    with pytest.raises(ImportError) as caught:
        check_environment(modules)
    return str(caught.value)


def commands(modules=environment.HOST_MODULES):
    return [line.strip() for line in message(modules).split('This mends it:\n')[1].splitlines()]


def test_environment_of_this_test_run_is_fit():
    check_environment((*environment.HOST_MODULES, 'mmrazor'))


def test_nothing_installed_gives_the_default_line(pretend):
    pretend(distributions=(), absent=('torch', *environment.NEEDS, 'joblib'))
    text = message(tuple(environment.NEEDS))
    for name in ('torch', *environment.NEEDS):
        assert f'- {name} is not installed' in text
    assert commands(tuple(environment.NEEDS)) == [
        "pip install 'torch>=2.6'",
        "pip install 'setuptools>=77,<81' wheel ninja psutil packaging  # to compile the operators of mmcv",
        'pip install --no-build-isolation onedl-mmcv==2.3.6',
        'pip install onedl-mmengine==0.10.12 onedl-mmdetection==3.5.1 onedl-mmsegmentation==1.4.2 mmrazor==1.0.0 '
        'joblib ordered-set',
    ]


@pytest.mark.parametrize('version', ['1.13.1', '2.1.0', '2.4.1+cu121', '2.5.1'])
def test_pytorch_that_cannot_read_checkpoints_safely_is_refused(version, pretend):
    pretend(versions=dict(torch=version))
    assert f'- torch {version} is installed; needed is >=2.6, the first that reads checkpoints' in message()
    assert commands() == ["pip install 'torch>=2.6'"]


def test_what_is_missing_comes_from_the_line_that_is_there(pretend):
    pretend(distributions=OPENMMLAB - {'mmdet'}, absent=('mmdet',))
    assert '- mmdet is not installed; needed is >=3.3.0,<4.0' in message()
    assert commands() == ['pip install mmdet==3.3.0']


def test_mmcv_without_operators_is_replaced(pretend):
    missing = ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext')
    lite = OPENMMLAB - {'mmcv'} | {'mmcv-lite'}
    pretend(distributions=lite, versions=dict(mmcv='2.1.0'), errors={'mmcv._ext': missing})
    assert '- mmcv 2.1.0 has no compiled operators (is it mmcv-lite?)' in message()
    assert commands()[0] == 'pip uninstall -y mmcv-lite'
    assert commands()[-1] == 'pip install --no-build-isolation --force-reinstall --no-deps --no-cache-dir mmcv==2.1.0'


def test_mmcv_of_another_pytorch_is_rebuilt(pretend):
    pretend(errors={'mmcv._ext': ImportError('_ext.so: undefined symbol: _ZN3c10')})
    assert 'mmcv 2.3.6 was compiled for another PyTorch' in message()
    assert '--force-reinstall --no-deps --no-cache-dir onedl-mmcv==2.3.6' in commands()[-1]


def test_old_version_is_named_with_what_is_needed(pretend):
    pretend(versions=dict(mmseg='0.30.0', mmcv='1.7.2'))
    assert '- mmcv 1.7.2 is installed; needed is >=2.1.0,<3.0\n  - mmseg 0.30.0 is installed' in message()


def test_lines_that_overwrite_each_other_are_both_removed(pretend):
    pretend(distributions=ONEDL | {'mmdet'})
    assert 'mmdet is installed twice, by mmdet and onedl-mmdetection' in message()
    assert commands() == ['pip uninstall -y onedl-mmdetection mmdet', 'pip install onedl-mmdetection==3.5.1']


def test_package_of_the_other_line_that_refuses_its_mmcv_is_exchanged(pretend):
    refusal = AssertionError('MMCV==2.3.6 is used but incompatible. Please install mmcv>=2.0.0rc4, <2.2.0.')
    pretend(distributions=ONEDL - {'onedl-mmdetection'} | {'mmdet'}, errors=dict(mmdet=refusal))
    assert 'mmdet does not import: AssertionError: MMCV==2.3.6 is used but incompatible' in message()
    assert commands() == ['pip uninstall -y mmdet', 'pip install onedl-mmdetection==3.5.1']


def test_missing_display_library_asks_for_headless_opencv(pretend):
    missing = ImportError('libGL.so.1: cannot open shared object file')
    pretend(distributions=ONEDL | {'opencv-python'}, versions={'opencv-python': '4.12.0.88'}, errors=dict(mmcv=missing))
    assert 'mmcv does not import: libGL.so.1' in message()
    assert commands() == ['pip install --force-reinstall --no-deps opencv-python-headless==4.12.0.88']


def test_undeclared_dependency_of_mmrazor_is_named(pretend):
    pretend(absent=('joblib',))
    assert '- mmrazor needs joblib, not installed' in message(('mmrazor',))
    assert commands(('mmrazor',)) == ['pip install mmrazor==1.0.0 joblib ordered-set']


def test_failing_import_is_explained_if_the_environment_is_the_cause(pretend):
    pretend(absent=('mmdet',))
    with pytest.raises(ImportError, match='mmdet is not installed'), explained_imports():
        raise AssertionError('in the middle of something')


def test_failing_import_keeps_its_own_error_otherwise(pretend):
    pretend()
    with pytest.raises(ImportError, match='no such name'), explained_imports():
        raise ImportError('no such name')
