"""CenterMask on real images against the original: features, head outputs, boxes, levels, masks, mask scores."""

import copy
import re

import numpy as np
import pytest
import torch
from helpers.centermask_goldens import collate, golden_files, golden_model, load, packed_image
from helpers.golden import assert_close_to_rms, assert_matches_summary, golden_image, golden_summary
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict


def cases(pattern):
    """One parameter for each file; files other than of the smallest model count as slow."""
    files = golden_files(pattern)
    assert files, f'no golden files {pattern}: the tests would check nothing'
    marks = [[] if 'slim' in path.stem else [pytest.mark.slow] for path in files]
    return [pytest.param(path, id=path.stem, marks=mark) for path, mark in zip(files, marks, strict=True)]


def model_of(path):
    return re.fullmatch(r'(?:B_fpn_fcos|C_infer)_(.+?)(?:_im\d+)?', path.stem)[1]


# --- B: features and raw outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize('path', cases('B_fpn_fcos_*'))
def test_pyramid_and_head_outputs_equal_the_original(path):
    arrays, model = load(path), golden_model(model_of(path))
    image = golden_image('B', (2, 3, 128, 160))
    assert_matches_summary(image, golden_summary(arrays, 'input'))
    with torch.no_grad():
        features = model.extract_feat(image)
        outputs = model.bbox_head(features)
    assert len(features) == 5
    for level in range(5):
        assert_close_to_rms(features[level], arrays[f'p{level + 3}'], relative=5e-5, absolute=1e-6)
        for kind, name, tolerance in zip(outputs, ('cls', 'reg', 'ctr'), (5e-4, 2e-4, 1e-4), strict=True):
            np.testing.assert_allclose(kind[level], arrays[f'{name}_{level}'], rtol=0, atol=tolerance)


# --- C: from an image to masks ---------------------------------------------------------------------------------------


class Case:
    """One golden inference file, its model, and the features of its image."""

    def __init__(self, path):
        self.arrays = load(path)
        self.model = golden_model(model_of(path))
        # MobileNetV2 has larger activations, hence coarser figures.
        self.box_tolerance, self.mask_tolerance = (2e-2, 5e-4) if 'Mv2' in path.stem else (5e-3, 2e-4)
        image = self.arrays['image_bgr_u8']
        self.batch = self.model.data_preprocessor(
            collate(packed_image(image, tuple(self.arrays['post_size_hw'].tolist()))), training=False
        )
        height, width = image.shape[:2]
        assert self.batch['inputs'].shape[2:] == (-(-height // 32) * 32, -(-width // 32) * 32)
        with torch.no_grad():
            self.features = self.model.extract_feat(self.batch['inputs'])
            self.outputs = self.model.bbox_head(self.features)

    def boxes(self, with_nms=True, **settings):
        cfg = ConfigDict(self.model.test_cfg.bbox | dict(with_points=True) | settings)
        metas = [sample.metainfo for sample in self.batch['data_samples']]
        return self.model.bbox_head.predict_by_feat(*self.outputs, metas, cfg=cfg, with_nms=with_nms)[0]

    def second_stage(self, boxes):
        """Levels, pooled features, mask probabilities and mask scores of boxes in input pixels."""
        head, metas = self.model.roi_head, [sample.metainfo for sample in self.batch['data_samples']]
        rois = bbox2roi([boxes.bboxes])
        shapes = [meta['img_shape'] for meta in metas]
        areas = torch.tensor([float(h * w) for h, w in shapes])
        with torch.no_grad():
            levels = head.mask_roi_extractor.map_roi_levels(rois, 3, areas)
            outputs = head.mask_forward(self.features, rois, shapes)
            logits = outputs['mask_preds'][torch.arange(len(boxes)), boxes.labels]
            mask_ious = head.mask_iou_head(outputs['mask_feats'], logits)
        mask_scores = boxes.scores * mask_ious[torch.arange(len(boxes)), boxes.labels]
        return levels, outputs['mask_feats'], logits.sigmoid(), mask_scores


@pytest.fixture(scope='module')
def case(request):
    return Case(request.param)


inference_files = pytest.mark.parametrize('case', cases('C_infer_*'), indirect=True)


def rows_by_class_and_location(classes, locations):
    rows = [(int(c), *np.round(np.asarray(point), 3).tolist()) for c, point in zip(classes, locations, strict=True)]
    assert len(set(rows)) == len(rows)
    return {row: i for i, row in enumerate(rows)}


def order_as(result, classes, locations):
    """Indices that bring ``result`` into the order of the golden rows; both must hold the same rows."""
    ours = rows_by_class_and_location(result.labels, result.points)
    theirs = rows_by_class_and_location(classes, locations)
    assert ours.keys() == theirs.keys()
    return torch.tensor([ours[row] for row in theirs])


@inference_files
@pytest.mark.parametrize(('prefix', 'threshold'), [('', 0.05), ('hi_', 0.2)])
def test_boxes_scores_and_masks_equal_the_original(case, prefix, threshold):
    golden = {name: case.arrays[prefix + name] for name in ('boxes', 'scores', 'classes', 'locations')}
    assert len(case.boxes(score_thr=threshold, with_nms=False)) == case.arrays[f'{prefix}num_nms_input']
    assert len(case.boxes(score_thr=threshold, max_per_img=100_000)) == case.arrays[f'{prefix}num_nms_output']
    result = case.boxes(score_thr=threshold)
    assert (result.scores[:-1] >= result.scores[1:]).all()
    result = result[order_as(result, golden['classes'], golden['locations'])]
    np.testing.assert_allclose(result.bboxes, golden['boxes'], rtol=0, atol=case.box_tolerance)
    np.testing.assert_allclose(result.scores, golden['scores'], rtol=0, atol=1e-4)

    levels, pooled, probabilities, mask_scores = case.second_stage(result)
    np.testing.assert_array_equal(levels, case.arrays[f'{prefix}roi_level'])
    np.testing.assert_allclose(mask_scores, case.arrays[f'{prefix}mask_scores'], rtol=0, atol=case.mask_tolerance)
    np.testing.assert_allclose(probabilities, case.arrays[f'{prefix}mask_probs'], rtol=0, atol=case.mask_tolerance)
    if not prefix:
        np.testing.assert_allclose(pooled[:2], case.arrays['roi_feat_first2'], rtol=0, atol=case.mask_tolerance)


@inference_files
def test_boxes_leave_the_image_and_mask_scores_change_the_order(case):
    """Without these the goldens would not notice clipped boxes or masks ranked by box scores."""
    height, width = case.arrays['image_bgr_u8'].shape[:2]
    boxes = case.arrays['boxes']
    assert (boxes[:, :2] < -1).any() or (boxes[:, 2] > width + 1).any() or (boxes[:, 3] > height + 1).any()
    assert (np.diff(case.arrays['mask_scores']) > 0).any()


@inference_files
def test_thousands_of_candidates_leave_the_same_boxes(case):
    """A low threshold: more candidates than ``nms_pre`` on the fine levels, and all survivors of the suppression."""
    arrays, settings = case.arrays, dict(score_thr=0.002, max_per_img=100_000)
    counts = np.array([int((level.sigmoid() > 0.002).sum()) for level in case.outputs[0]])
    np.testing.assert_allclose(counts, arrays['stress_candidates_per_level'], rtol=2e-3, atol=2)
    candidates = len(case.boxes(with_nms=False, **settings))
    assert candidates == pytest.approx(int(arrays['stress_num_nms_input']), abs=3)
    result = case.boxes(**settings)
    ours = rows_by_class_and_location(result.labels, result.points)
    theirs = rows_by_class_and_location(arrays['stress_classes'], arrays['stress_locations'])
    common = ours.keys() & theirs.keys()
    assert len(common) >= 0.995 * max(len(ours), len(theirs))
    pairs = np.array([(ours[row], theirs[row]) for row in common])
    np.testing.assert_allclose(
        result.bboxes[pairs[:, 0]], arrays['stress_boxes'][pairs[:, 1]], rtol=0, atol=2 * case.box_tolerance
    )
    np.testing.assert_allclose(result.scores[pairs[:, 0]], arrays['stress_scores'][pairs[:, 1]], rtol=0, atol=1e-4)


@inference_files
def test_predictions_at_the_size_of_the_original_image_equal_the_original(case):
    arrays = case.arrays
    with torch.no_grad():
        (sample,) = case.model.predict(case.batch['inputs'], copy.deepcopy(case.batch['data_samples']))
    result = sample.pred_instances
    assert len(result) == len(arrays['post_boxes'])
    # Rows hold no locations here: the nearest golden box of the same class.
    distance = torch.cdist(result.bboxes, torch.from_numpy(arrays['post_boxes']), p=1)
    distance[result.labels[:, None] != torch.from_numpy(arrays['post_classes'])] = torch.inf
    index = distance.argmin(dim=1).numpy()
    assert len(set(index.tolist())) == len(index)
    tolerance = 1.5 * case.box_tolerance  # boxes are 1.5 times as large here
    np.testing.assert_allclose(result.bboxes, arrays['post_boxes'][index], rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.scores, arrays['post_scores'][index], rtol=0, atol=1e-4)
    np.testing.assert_allclose(result.mask_scores, arrays['post_mask_scores'][index], rtol=0, atol=case.mask_tolerance)
    height, width = arrays['post_size_hw'].tolist()
    masks = np.unpackbits(arrays['post_masks_packed'], axis=-1)[:, :, :width][index].astype(bool)
    assert result.masks.shape == (len(index), height, width)
    wrong = (result.masks.numpy() != masks).sum(axis=(1, 2))
    assert wrong.max() <= 10, wrong
