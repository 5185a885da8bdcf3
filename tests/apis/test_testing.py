"""What tools/test.py makes of a config."""

from pathlib import Path

import pytest
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.apis.testing import apply_tta

PROJECTS = Path(__file__).parents[2] / 'projects'
POINTS = PROJECTS / 'reduced_runs/configs/nuclei_points.py'
MASKS = PROJECTS / 'nuclei_example/configs/centermask-lite_efficientnet-lite0_nuclei.py'


@pytest.mark.parametrize('config', [POINTS, MASKS], ids=lambda path: path.stem)
def test_without_a_tta_model_a_flip_is_merged_with_its_masks(config):
    cfg = Config.fromfile(config)
    model = cfg.model
    apply_tta(cfg)
    assert cfg.model.type == 'mmkd.InstanceTTAModel' and cfg.model.module == model
    assert cfg.test_evaluator.metric == ['bbox', 'segm']
    augmentation = cfg.test_dataloader.dataset.pipeline[-1]
    assert [flip.prob for flip in augmentation.transforms[0]] == [1.0, 0.0]


def test_where_mmdets_model_merges_boxes_only_boxes_are_evaluated():
    cfg = Config.fromfile(POINTS)
    cfg.tta_model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=9))
    apply_tta(cfg)
    assert cfg.model.type == 'DetTTAModel' and cfg.model.tta_cfg.max_per_img == 9
    assert cfg.test_evaluator.metric == ['bbox']
