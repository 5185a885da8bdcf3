"""CrowdedCocoMetric against CocoMetric on boxes that are all right, one score apart."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric

from mmkd.evaluation import CrowdedCocoMetric
from mmkd.evaluation.cost import count_parameters, milliseconds_per_image


def evaluate(metric_type, tmp_path, number, **kwargs):
    """mAP of ``number`` objects in one image, all of them found."""
    boxes = np.array([[20.0 * (i % 40), 20.0 * (i // 40), 10.0, 10.0] for i in range(number)])
    annotations = [
        dict(id=i + 1, image_id=1, category_id=1, bbox=box.tolist(), area=100.0, iscrowd=0)
        for i, box in enumerate(boxes)
    ]
    content = dict(
        images=[dict(id=1, file_name='a.jpg', width=1000, height=1000)],
        annotations=annotations,
        categories=[dict(id=1, name='cell')],
    )
    (tmp_path / 'a.json').write_text(json.dumps(content))
    metric = metric_type(ann_file=str(tmp_path / 'a.json'), metric='bbox', **kwargs)
    metric.dataset_meta = dict(classes=('cell',))
    boxes[:, 2:] += boxes[:, :2]
    prediction = dict(
        bboxes=torch.tensor(boxes), scores=torch.linspace(1, 0.5, number), labels=torch.zeros(number, dtype=torch.long)
    )
    metric.process({}, [dict(img_id=1, ori_shape=(1000, 1000), pred_instances=prediction)])
    return metric.evaluate(size=1)


def test_two_hundred_objects_can_all_be_found(tmp_path):
    # 100 of 200 count for mmdet's metric, all right: precision 1 up to recall 0.5, that is at 51 of the 101 recalls
    assert evaluate(CocoMetric, tmp_path, 200)['coco/bbox_mAP'] == pytest.approx(51 / 101, abs=1e-3)
    assert evaluate(CrowdedCocoMetric, tmp_path, 200)['coco/bbox_mAP'] == 1.0
    limited = evaluate(CrowdedCocoMetric, tmp_path, 200, proposal_nums=(10, 50, 100))
    assert limited['coco/bbox_mAP'] == pytest.approx(51 / 101, abs=1e-3)


def test_up_to_a_hundred_objects_nothing_differs(tmp_path):
    assert evaluate(CrowdedCocoMetric, tmp_path, 90) == evaluate(CocoMetric, tmp_path, 90)


def test_it_is_found_from_an_mmdet_config():
    from mmengine.registry import METRICS, DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        assert METRICS.get('mmkd.CrowdedCocoMetric') is CrowdedCocoMetric


def test_cost_of_a_model():
    class Model(torch.nn.Linear):
        seen = 0

        def test_step(self, data):
            assert not self.training and not torch.is_grad_enabled()
            self.seen += 1
            return self(data)

    model = Model(3, 2)
    assert count_parameters(model) == 3 * 2 + 2
    assert 0 < milliseconds_per_image(model, [torch.ones(3)] * 4, repeats=2) < 100
    assert model.seen == 1 + 2 * 4 and model.training
    with pytest.raises(ValueError, match='batches'):
        milliseconds_per_image(model, [])
