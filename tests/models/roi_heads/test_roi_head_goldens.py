"""The RoI half of CenterMask in a training step of the original, on the first image of its batch."""

import numpy as np
import pytest
import torch
from helpers.centermask_goldens import golden_model
from helpers.golden import golden_arrays
from helpers.roi_head_cases import INFER_GOLDEN, TRAIN_GOLDEN, golden_ground_truth, make_sample
from mmengine.structures import InstanceData

MODEL = 'lite-V-19-slim-dw-eSE'
MEAN = torch.tensor([103.53, 116.28, 123.675])[:, None, None]


@pytest.fixture(scope='module')
def step():
    """The golden rows of the first image, and what ours makes of its golden proposals."""
    arrays = golden_arrays(TRAIN_GOLDEN)
    golden = {key: value[arrays['fg_image'] == 0] for key, value in arrays.items() if key.startswith('fg_')}
    image = torch.from_numpy(golden_arrays(INFER_GOLDEN)['image_bgr_u8']).permute(2, 0, 1).float() - MEAN
    truth = golden_ground_truth()[0]
    sample = make_sample(truth['boxes'].tolist(), truth['labels'].tolist(), truth['size'], truth['masks'])
    model = golden_model(MODEL)
    with torch.no_grad():
        feats = model.extract_feat(image[None])
        proposals = InstanceData(bboxes=torch.from_numpy(arrays['prop0_boxes']))
        samplings = model.roi_head.sample_rois([proposals], [sample])
        outputs = model.roi_head.mask_loss(feats, samplings, [sample])
    # The golden rows are sorted by class, x1 and y1.
    boxes, labels = outputs['pos_rois'][:, 1:], outputs['pos_labels']
    order = torch.from_numpy(np.lexsort((boxes[:, 1], boxes[:, 0], labels)))
    ours = {key: value[order] for key, value in outputs.items() if isinstance(value, torch.Tensor)}
    return golden, ours


def test_positive_rois(step):
    golden, ours = step
    assert len(ours['pos_rois']) == len(golden['fg_boxes']) == 22
    assert ours['pos_labels'].tolist() == golden['fg_classes'].tolist()
    assert np.allclose(ours['pos_rois'][:, 1:], golden['fg_boxes'], rtol=0, atol=1e-4)


def test_mask_logits_and_targets(step):
    golden, ours = step
    logits = ours['mask_preds'][torch.arange(22), ours['pos_labels']]
    assert np.allclose(logits, golden['fg_mask_logits'], rtol=0, atol=2e-4)
    assert np.array_equal(ours['mask_targets'], golden['fg_mask_target'])


def test_mask_ious_and_targets(step):
    golden, ours = step
    mask_ious = ours['mask_iou_preds'][torch.arange(22), ours['pos_labels']]
    assert np.allclose(mask_ious, golden['fg_maskiou_pred'], rtol=0, atol=2e-4)
    # A logit next to zero may fall on its other side: one cell of some hundreds.
    assert np.allclose(ours['mask_iou_targets'], golden['fg_maskiou_target'], rtol=0, atol=5e-3)
