"""The workarounds: applied where they are needed and nowhere else, undone after, and clear when they cannot help."""

import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from pickle import UnpicklingError
from types import ModuleType, SimpleNamespace

import pytest
import torch
from helpers.fresh_interpreter import run_python

from mmkd import compat
from mmkd.allow_list import _statistic_of_history_buffer, allowed_globals


def test_import_of_mmkd_is_light_and_fast(tmp_path):
    code = """
import sys, time
start = time.perf_counter()
import mmkd
seconds = time.perf_counter() - start
heavy = {'torch', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'mmrazor'} & set(sys.modules)
print(seconds, sorted(heavy))
"""
    seconds, heavy = run_python(code, cwd=tmp_path).split(' ', 1)
    assert heavy == '[]'
    assert float(seconds) < 0.5


@pytest.mark.slow
def test_importing_the_hosts_prints_nothing_of_onedl(tmp_path):
    code = 'import mmkd, mmdet.datasets, mmseg.datasets; print("imported")'
    assert run_python(code, cwd=tmp_path) == 'imported'


def test_other_lines_are_printed_as_before(capsys):
    from mmengine.logging import logger, print_log

    assert print_log is logger.print_log
    for message in ('Could not import OneDL', 'Could not import OneDL. Skipping OneDL datasets.'):
        print_log(message, level=10)
    print_log('Could not import something else', level=10)
    print_log(['no', 'text'], logger=None)
    with pytest.raises(TypeError, match='logger'):
        print_log('x', logger=3)
    assert capsys.readouterr().out.splitlines() == ['Could not import something else', "['no', 'text']"]


# -------------------------------------------------------------------------------------------------------------- mmrazor


@pytest.mark.slow
def test_mmrazor_alone_does_not_import_so_the_mend_is_needed(tmp_path):
    code = """
try:
    import mmrazor.models
except (AssertionError, ImportError) as error:
    print('fails')
"""
    assert run_python(code, cwd=tmp_path) == 'fails'


@pytest.mark.slow
@pytest.mark.parametrize(
    'how',
    [
        'mmkd.compat.import_mmrazor()',
        'from mmengine.registry import MODELS; assert MODELS.get("mmrazor.SingleTeacherDistill")',
    ],
)
def test_mmrazor_imports_however_it_is_asked_for_and_nothing_stays_patched(how, tmp_path):
    code = f"""
import mmkd.compat
{how}
import sys, mmcv, mmrazor, torch
from mmengine.utils import digit_version
from mmrazor.registry import MODELS
for name in ('SingleTeacherDistill', 'ConfigurableDistiller', 'ChannelWiseDivergence', 'ConvModuleConnector'):
    assert name in MODELS.module_dict, name
assert mmcv.__version__ == mmcv.version.__version__
assert mmrazor.digit_version is digit_version
copies = [m.digit_version for n, m in sys.modules.items() if n.startswith('mmrazor') and hasattr(m, 'digit_version')]
assert len(copies) > 2 and all(copy is digit_version for copy in copies)
assert mmkd.compat.import_mmrazor() is mmkd.compat.import_mmrazor() is mmrazor
print('ok')
"""
    assert run_python(code, cwd=tmp_path) == 'ok'


def test_version_of_mmcv_is_shown_differently_only_after_mmrazor_refused_it(monkeypatch):
    mmcv = ModuleType('mmcv')
    mmcv.__version__ = '2.3.6'
    monkeypatch.setitem(sys.modules, 'mmcv', mmcv)
    seen = []

    def asserts_version():
        seen.append(mmcv.__version__)
        assert mmcv.__version__ <= '2.1.0', 'MMCV==2.3.6 is used but incompatible.'

    compat._accept_mmcv_version(ModuleType('mmrazor'), asserts_version)
    assert seen == ['2.3.6', '2.1.0']
    assert mmcv.__version__ == '2.3.6'

    seen.clear()
    compat._accept_mmcv_version(ModuleType('mmrazor'), lambda: seen.append(mmcv.__version__))
    assert seen == ['2.3.6']


def test_other_assertions_of_mmrazor_are_not_swallowed():
    def refuses_mmengine():
        raise AssertionError('MMEngine==9 is used but incompatible.')

    with pytest.raises(AssertionError, match='MMEngine'):
        compat._accept_mmcv_version(ModuleType('mmrazor'), refuses_mmengine)


@pytest.fixture
def fake_mmrazor(monkeypatch):
    """A package whose sub-module copies ``digit_version``, as mmrazor's do."""
    package, part = ModuleType('mmrazor'), ModuleType('mmrazor.part')
    package.digit_version = lambda version, length=2: tuple(int(n) for n in version.split('+')[0].split('.'))[:length]
    for name in [name for name in sys.modules if name.split('.')[0] == 'mmrazor']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'mmrazor', package)
    monkeypatch.setitem(sys.modules, 'mmrazor.part', part)
    return package, part


@pytest.mark.parametrize('fails', [False, True])
def test_quantization_gate_is_closed_during_the_import_only(fake_mmrazor, fails):
    package, part = fake_mmrazor
    original = package.digit_version

    def copy_digit_version():
        part.digit_version = package.digit_version
        assert package.digit_version(torch.__version__) == (1, 12)
        assert package.digit_version('1.13.0', length=3) == (1, 13, 0)
        if fails:
            raise RuntimeError('import failed')

    if fails:
        with pytest.raises(RuntimeError, match='import failed'):
            compat._close_quantization_gate(part, copy_digit_version)
    else:
        compat._close_quantization_gate(part, copy_digit_version)
    assert package.digit_version is original
    assert part.digit_version is original


def test_quantization_gate_is_left_alone_where_pytorch_has_the_parts(fake_mmrazor, monkeypatch):
    package, part = fake_mmrazor
    import torch.ao.quantization.fuser_method_mappings as mappings

    monkeypatch.setattr(mappings, 'reverse2', object(), raising=False)
    original = package.digit_version
    seen = []
    compat._close_quantization_gate(part, lambda: seen.append(package.digit_version))
    assert seen == [original]


# ---------------------------------------------------------------------------------------------- configs by package name


def test_package_table_learns_mmkd_and_repairs_mmseg_only_where_it_is_broken(monkeypatch):
    monkeypatch.setattr(compat.importlib.util, 'find_spec', lambda name: ModuleSpec(name, None))

    def mended(table):
        compat._mend_config_packages(SimpleNamespace(MODULE2PACKAGE=table))
        return table

    monkeypatch.setattr(compat, 'has_distribution', lambda name: False)
    broken = mended(dict(mmdet='mmdet', mmseg='mmsegmentation'))
    assert broken == dict(mmdet='mmdet', mmseg='mmseg', mmkd='mmkd')

    monkeypatch.setattr(compat, 'has_distribution', lambda name: True)
    fine = mended(dict(mmseg='mmsegmentation', mmkd='elsewhere'))
    assert fine == dict(mmseg='mmsegmentation', mmkd='elsewhere')


def test_package_table_is_mended_when_mmengine_was_imported_first(tmp_path):
    (tmp_path / 'config.py').write_text("_base_ = 'mmseg::_base_/schedules/schedule_20k.py'")
    code = """
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
assert 'mmkd' not in MODULE2PACKAGE
import mmkd
print(MODULE2PACKAGE['mmkd'], 'optim_wrapper' in Config.fromfile('config.py'))
"""
    assert run_python(code, cwd=tmp_path) == 'mmkd True'


def test_package_look_up_is_replaced_only_where_it_uses_pkg_resources(monkeypatch):
    def get_installed_path(package):
        from pkg_resources import get_distribution

        return get_distribution(package).location

    def modern(package):
        return package

    old = ModuleType('mmengine.of_the_test')
    old.is_installed = old.package2module = modern
    old.get_installed_path = get_installed_path
    copies = ModuleType('mmengine.of_the_test.user')
    copies.get_installed_path = get_installed_path
    monkeypatch.setitem(sys.modules, 'mmengine.of_the_test', old)
    monkeypatch.setitem(sys.modules, 'mmengine.of_the_test.user', copies)
    compat._mend_package_look_up(old)
    assert copies.get_installed_path is old.get_installed_path is compat._installed_path

    new = SimpleNamespace(is_installed=modern, get_installed_path=modern, package2module=modern)
    compat._mend_package_look_up(new)
    assert new.get_installed_path is modern


def test_packages_are_found_by_module_and_by_distribution():
    import mmengine

    folder = mmengine.__path__[0]
    assert compat._installed_path('mmengine') == folder
    name = next(n for n in ('onedl-mmengine', 'mmengine') if compat.has_distribution(n))
    assert compat._installed_path(name) == folder
    assert compat._is_installed('mmkd')
    assert not compat._is_installed('no_such_package')
    with pytest.raises(PackageNotFoundError):
        compat._installed_path('no_such_package')


# ----------------------------------------------------------------------------- loading checkpoints without running code


def test_checkpoints_of_mmengine_load_where_it_has_no_allow_list_of_its_own(tmp_path):
    from mmengine.logging import HistoryBuffer

    path = tmp_path / 'checkpoint.pth'
    torch.save(HistoryBuffer([2.0], [1]), path)
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        compat._mend_checkpoint_loading(SimpleNamespace(_safe_torch_load=print))
        with pytest.raises(UnpicklingError):
            torch.load(path)
        compat._mend_checkpoint_loading(SimpleNamespace())
        assert torch.load(path).current() == 2.0
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(allowed)


@pytest.mark.parametrize('allowed_before', [False, True])
def test_allow_list_after_the_context_is_the_one_before(allowed_before):
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    if allowed_before:  # for good, as on the openmmlab line
        torch.serialization.add_safe_globals(allowed_globals())
    try:
        with compat.safe_globals():
            assert set(torch.serialization.get_safe_globals()) == set(allowed_globals())
        expected = set(allowed_globals()) if allowed_before else set()
        assert set(torch.serialization.get_safe_globals()) == expected
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_pytorch_without_an_allow_list_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.delattr(torch.serialization, 'safe_globals')
    monkeypatch.setattr('mmkd.environment.distribution', lambda name: SimpleNamespace(version='2.4.1'))
    for load in (compat.safe_globals, compat.load_checkpoints_safely):
        with pytest.raises(ImportError, match=r'^torch 2\.4\.1 is installed; needed is >=2\.6, .*[^.]$'):
            load()


def test_every_way_of_mmengine_to_a_checkpoint_becomes_the_safe_one(monkeypatch):
    """Of the two lines' versions alike: whatever a version has registered itself, and nothing that others have."""
    from mmengine.registry import WEIGHT_INITIALIZERS
    from mmengine.runner.checkpoint import CheckpointLoader, load_from_http

    def of_somebody_else(filename, map_location=None):
        return {}

    before = dict(CheckpointLoader._schemes)
    pretrained = WEIGHT_INITIALIZERS.get('Pretrained')
    monkeypatch.setattr(CheckpointLoader, '_schemes', {**before, 'http://': load_from_http, 'own://': of_somebody_else})
    try:
        compat.load_checkpoints_safely()
        loaders = {prefix: loader.__name__ for prefix, loader in CheckpointLoader._schemes.items()}
        assert loaders.pop('own://') == 'of_somebody_else'
        assert set(loaders.values()) == {'load_from_mmkd'}
        assert {'', 'file://', 'http://', 'https://', 'torchvision://', 'open-mmlab://', 'mmcls://'} <= set(loaders)
        for address in ('a.pth', 'file:///a.pth', 's3://a', 'cluster:petrel://a'):
            assert CheckpointLoader._get_checkpoint_loader(address).__name__ == 'load_from_mmkd'
    finally:
        WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=pretrained, force=True)


def test_getattr_is_not_on_the_allow_list():
    assert getattr not in [entry[0] for entry in allowed_globals()]
    with pytest.raises(UnpicklingError, match='__class__'):
        _statistic_of_history_buffer(allowed_globals()[0][0], '__class__')


# --------------------------------------------------------------------------------------------------------- import hooks


def test_import_hook_wraps_one_module_once_and_leaves_its_loader_alone(tmp_path, monkeypatch):
    # pytest loads files of this name through a loader that all of them share.
    for name in ('hooked_test', 'other_test'):
        (tmp_path / f'{name}.py').write_text('events = ["executed"]\n')
    monkeypatch.syspath_prepend(tmp_path)
    compat._after_import('hooked_test', lambda module: module.events.append('mended'))
    try:
        import hooked_test
        import other_test
    finally:
        compat._hooks.wrappers.pop('hooked_test')
    assert hooked_test.events == ['executed', 'mended']
    assert other_test.events == ['executed']
    assert type(hooked_test.__spec__.loader) is type(hooked_test.__loader__) is type(other_test.__loader__)
    compat._after_import('hooked_test', lambda module: module.events.append('mended at once'))
    assert hooked_test.events[-1] == 'mended at once'
    assert sum(finder is compat._hooks for finder in sys.meta_path) == 1
    del sys.modules['hooked_test'], sys.modules['other_test']
