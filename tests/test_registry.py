"""Names are found from every scope, and each in the library the run is about."""

from pathlib import Path

import pytest
from helpers.fresh_interpreter import run_python
from mmdet.registry import MODELS as DETECTION
from mmengine.config import Config
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as SEGMENTATION

import mmkd
from mmkd import registry
from mmkd.registry import HOOKS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[1] / 'configs'


@pytest.mark.parametrize('start', [ROOT, DETECTION, SEGMENTATION, MODELS], ids=['root', 'mmdet', 'mmseg', 'mmkd'])
def test_name_with_scope_is_found_from_every_registry(start):
    assert start.get('mmkd.VoVNet') is mmkd.VoVNet


@pytest.mark.parametrize('start', [ROOT, DETECTION, SEGMENTATION, MODELS], ids=['root', 'mmdet', 'mmseg', 'mmkd'])
def test_plain_name_is_found_from_every_registry_once_imported(start):
    assert start.get('CenterMask') is mmkd.CenterMask


def test_name_that_mmdet_has_too_stays_mmdets_outside_of_mmkd():
    assert DETECTION.get('MobileNetV2').__module__.startswith('mmdet.')
    assert SEGMENTATION.get('MobileNetV2').__module__.startswith('mmseg.')
    assert MODELS.get('MobileNetV2').__module__.startswith('mmkd.')


def test_name_already_in_the_root_is_not_taken_over():
    theirs, ours = type('Theirs', (), {}), type('Ours', (), {})
    ROOT._module_dict['NameOfTheTest'] = theirs
    try:
        MODELS.register_module(name='NameOfTheTest', module=ours)
        assert ROOT.get('NameOfTheTest') is theirs
        assert MODELS.get('NameOfTheTest') is ours
    finally:
        ROOT._module_dict.pop('NameOfTheTest')
        MODELS._module_dict.pop('NameOfTheTest')


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_name_mmkd_lacks_comes_from_the_library_of_the_run(scope):
    with DefaultScope.overwrite_default_scope(scope):
        assert MODELS.get('CrossEntropyLoss').__module__.startswith(f'{scope}.')
        assert MODELS.get('mmdet.CrossEntropyLoss').__module__.startswith('mmdet.')


def test_root_goes_before_the_library_the_run_is_not_about():
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert TRANSFORMS.get('Pad').__module__.startswith('mmcv.')
        assert TRANSFORMS.get('PackDetInputs').__module__.startswith('mmdet.')
    with DefaultScope.overwrite_default_scope('mmdet'):
        assert TRANSFORMS.get('Pad').__module__.startswith('mmdet.')
        assert TRANSFORMS.get('PackSegInputs').__module__.startswith('mmseg.')


def test_scope_of_the_run_counts_inside_of_an_inherited_dict():
    # build_from_cfg makes mmkd the current scope while it builds such a dict; the run is still one of mmseg.
    with DefaultScope.overwrite_default_scope('mmseg'), DefaultScope.overwrite_default_scope('mmkd'):
        assert MODELS.get('CrossEntropyLoss').__module__.startswith('mmseg.')


def test_inherited_dict_builds_with_plain_names_and_defaults_of_mmdet():
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = DETECTION.build(
            dict(type='FCOSHead', num_classes=2, in_channels=8, feat_channels=32, stacked_convs=1, _scope_='mmkd')
        )
    assert type(head).__module__.startswith('mmdet.')
    assert type(head.loss_cls).__module__.startswith('mmdet.')


def test_root_names_are_found_in_the_scope_of_mmkd():
    assert HOOKS.get('CheckpointHook').__module__.startswith('mmengine.')


def test_dotted_path_of_a_class_is_found():
    assert MODELS.get('torch.nn.ReLU').__name__ == 'ReLU'


def test_unknown_name_is_refused_by_name():
    with pytest.raises(KeyError, match='NoSuchNetwork is not in the mmkd::model registry'):
        MODELS.build(dict(type='NoSuchNetwork'))


@pytest.mark.slow
def test_mmrazor_is_imported_only_for_names_that_need_it(tmp_path):
    code = """
import sys, mmkd
from mmengine.registry import DefaultScope, MODELS, HOOKS
assert MODELS.get('mmkd.CenterMask') and MODELS.get('mmkd.PairWiseLoss')
with DefaultScope.overwrite_default_scope('mmkd'):
    from mmkd.registry import MODELS as OURS, HOOKS as OUR_HOOKS
    assert OURS.get('ResNet') and OUR_HOOKS.get('NoSuchHook') is None
    assert 'mmrazor' not in sys.modules
    assert OURS.get('ConfigurableDistiller').__module__.startswith('mmrazor.')
    assert OUR_HOOKS.get('EstimateResourcesHook').__module__.startswith('mmrazor.')
assert MODELS.get('mmkd.DenseDistill') is mmkd.DenseDistill
print('ok')
"""
    assert run_python(code, tmp_path).splitlines()[-1] == 'ok'


def plain_types(config):
    """All registry names in a config that have no scope of their own."""
    if isinstance(config, dict):
        name = config.get('type')
        if isinstance(name, str) and '.' not in name and '_scope_' not in config:
            yield name
        for value in config.values():
            yield from plain_types(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from plain_types(value)


@pytest.mark.slow
def test_shipped_configs_mean_the_same_when_inherited_by_package_name():
    """``_base_ = 'mmkd::...'`` looks plain names up in mmkd first: a plain name of mmdet's must not be mmkd's too."""
    for part in ('MODELS', 'TRANSFORMS', 'DATASETS', 'METRICS', 'HOOKS', 'LOOPS'):
        getattr(registry, part).import_from_location()
    ours = {name for part in registry.__all__ for name in getattr(registry, part)._module_dict}
    ambiguous = ours & set(DETECTION._module_dict) | ours & set(SEGMENTATION._module_dict)
    assert 'MobileNetV2' in ambiguous
    paths = sorted(path for path in CONFIGS.rglob('*.py'))
    assert paths
    for path in paths:
        used = set(plain_types(Config.fromfile(path).to_dict())) & ambiguous
        assert not used, f'{path.relative_to(CONFIGS)}: write the scope (mmdet., mmkd., ...) of {sorted(used)}'
