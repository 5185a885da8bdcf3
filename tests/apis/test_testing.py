"""What tools/test.py makes of a config."""

from pathlib import Path

import pytest
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.apis.testing import apply_tta

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize('name', ['point-centermask_dla46c_nuclei', 'centermask-lite_efficientnet-lite0_nuclei'])
def test_without_a_tta_model_a_flip_is_merged_with_its_masks(name):
    cfg = Config.fromfile(CONFIGS / f'_quick_/{name}.py')
    model = cfg.model
    apply_tta(cfg)
    assert cfg.model.type == 'mmkd.InstanceTTAModel' and cfg.model.module == model
    assert cfg.test_evaluator.metric == ['bbox', 'segm']
    augmentation = cfg.test_dataloader.dataset.pipeline[-1]
    assert [flip.prob for flip in augmentation.transforms[0]] == [1.0, 0.0]


def test_where_mmdets_model_merges_boxes_only_boxes_are_evaluated():
    cfg = Config.fromfile(CONFIGS / '_quick_/point-centermask_dla46c_nuclei.py')
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=9))
    apply_tta(cfg)
    assert cfg.model.type == 'DetTTAModel' and cfg.model.tta_cfg.max_per_img == 9
    assert cfg.test_evaluator.metric == ['bbox']
