"""Names that mmkd does not have come from the library it extends, not from mmcv."""

import pytest
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS
from mmengine.registry import DefaultScope

from mmkd.registry import TRANSFORMS


@pytest.mark.parametrize('name', ['Resize', 'RandomFlip', 'LoadAnnotations'])
def test_transforms_of_the_host_hide_those_of_mmcv_with_the_same_name(name):
    # mmcv's do not know of masks: polygons would keep the size of the image before it was resized.
    assert TRANSFORMS.get(name).__module__.startswith('mmdet.')


def test_transforms_of_a_segmentation_run_come_from_mmseg():
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert TRANSFORMS.get('Resize').__module__.startswith('mmseg.')


def test_transform_inside_a_transform_of_an_inherited_config_is_that_of_the_host():
    # `_scope_` is what `_base_ = 'mmkd::...'` writes into each dict of the base.
    config = dict(type='RandomChoiceResize', scales=[(10, 20)], _scope_='mmkd')
    assert type(ROOT_TRANSFORMS.build(config).resize).__module__.startswith('mmdet.')
