"""register_all_modules, in fresh interpreters: what is registered must not depend on what other tests imported."""

import pytest
from helpers.fresh_interpreter import run_python


@pytest.mark.slow
def test_everything_is_registered_and_found_from_any_scope(tmp_path):
    code = """
from mmkd.utils import register_all_modules
register_all_modules(init_default_scope=False)
from mmdet.registry import MODELS as DETECTION
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as SEGMENTATION
for registry in (DETECTION, SEGMENTATION):
    for name in ('CenterMask', 'VoVNet', 'PairWiseLoss', 'DenseDistill'):
        assert registry.get(name).__module__.startswith('mmkd.'), name
assert DefaultScope.get_current_instance() is None
register_all_modules()
print(DefaultScope.get_current_instance().scope_name)
"""
    assert run_python(code, tmp_path).splitlines()[-1] == 'mmkd'


@pytest.mark.slow
def test_without_mmrazor_all_but_distillation_is_registered(tmp_path):
    code = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == 'mmrazor' else find_spec(name, *args)
from mmkd.utils import register_all_modules
register_all_modules(init_default_scope=False)
from mmkd.registry import MODELS
assert MODELS.get('mmkd.CenterMask') and 'mmrazor' not in sys.modules
try:
    MODELS.get('mmkd.DenseDistill')
except ImportError as error:
    print('mmrazor is not installed' in str(error) and 'pip install mmrazor==1.0.0 joblib' in str(error))
"""
    assert run_python(code, tmp_path).splitlines()[-1] == 'True'


def test_default_scope_is_changed_with_a_warning_only():
    from mmengine.registry import DefaultScope

    from mmkd.utils.setup_env import _make_default_scope

    before = dict(DefaultScope._instance_dict)
    try:
        DefaultScope._instance_dict.clear()
        _make_default_scope('mmkd')
        assert DefaultScope.get_current_instance().scope_name == 'mmkd'
        DefaultScope.get_instance('run', scope_name='mmseg')
        with pytest.warns(UserWarning, match="is 'mmseg'; register_all_modules makes it 'mmkd'"):
            _make_default_scope('mmkd')
        assert DefaultScope.get_current_instance().scope_name == 'mmkd'
    finally:
        DefaultScope._instance_dict.clear()
        DefaultScope._instance_dict.update(before)


def test_helpers_are_loaded_on_first_use(tmp_path):
    code = """
import sys
import mmkd.utils
assert 'torch' not in sys.modules and 'mmengine' not in sys.modules
from mmkd.utils import load_checkpoint_file
assert 'load_checkpoint_file' in dir(mmkd.utils)
print('torch' in sys.modules)
"""
    assert run_python(code, tmp_path).splitlines()[-1] == 'True'
