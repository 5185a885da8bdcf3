"""What the tests of the RoI head share: golden ground truth, a small head, and a batch for it."""

import json

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from helpers.golden import GOLDENS, golden_arrays
from helpers.tiny_center_mask import CHANNELS, tiny_config
from mmkd.registry import MODELS

TRAIN_GOLDEN = 'centermask2/D_train_lite-V-19-slim-dw-eSE'
INFER_GOLDEN = 'centermask2/C_infer_lite-V-19-slim-dw-eSE_im1'
NUM_CLASSES = 3


def unit_arrays(prefix):
    """The arrays of one unit, without the prefix of their names."""
    arrays = golden_arrays('centermask2/E_units')
    return {key[len(prefix) + 1 :]: value for key, value in arrays.items() if key.startswith(f'{prefix}_')}


def golden_ground_truth():
    """(height, width), boxes (G, 4) and polygons of both golden images."""
    truth = json.loads((GOLDENS / 'centermask2' / 'golden_gt.json').read_text())
    images = []
    for image in truth['images']:
        annotations = [a for a in truth['annotations'] if a['image_id'] == image['id']]
        boxes = torch.tensor([a['bbox'] for a in annotations], dtype=torch.float32)
        boxes[:, 2:] += boxes[:, :2]
        polygons = [[np.asarray(polygon, dtype=np.float64) for polygon in a['segmentation']] for a in annotations]
        labels = torch.tensor([a['category_id'] - 1 for a in annotations])
        size = (image['height'], image['width'])
        images.append(dict(size=size, boxes=boxes, labels=labels, masks=PolygonMasks(polygons, *size)))
    return images


def unit_polygons():
    arrays = unit_arrays('miou')
    polygons = [[] for _ in range(6)]
    bounds = arrays['poly_offset']
    for k, instance in enumerate(arrays['poly_instance']):
        polygons[instance].append(arrays['poly_xy'][bounds[k] : bounds[k + 1]])
    return PolygonMasks(polygons, 150, 150)


def golden_positives():
    """Boxes, and what was made of them, of the positive RoIs of the golden training step, per image."""
    arrays = golden_arrays(TRAIN_GOLDEN)
    for number, image in enumerate(golden_ground_truth()):
        rows = arrays['fg_image'] == number
        boxes, labels = torch.from_numpy(arrays['fg_boxes'][rows]), torch.from_numpy(arrays['fg_classes'][rows])
        sides = (torch.minimum(boxes[:, None, 2:], image['boxes'][:, 2:])
                 - torch.maximum(boxes[:, None, :2], image['boxes'][:, :2])).clamp(min=0)  # fmt: skip
        inter = sides.prod(2)
        areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, image['boxes'])]
        gt_inds = (inter / (areas[0][:, None] + areas[1] - inter)).argmax(1)
        assert torch.equal(image['labels'][gt_inds], labels)
        yield image['masks'], boxes, gt_inds, arrays['fg_mask_target'][rows]


def to_bitmaps(polygons):
    """The same instances as bitmaps of the image."""
    return BitmapMasks(polygons.to_ndarray(), polygons.height, polygons.width)


def make_roi_head(**changes):
    """A CenterMask RoI head of few channels, on strides 8, 16 and 32; ``changes`` replace whole parts of its config."""
    config = tiny_config(NUM_CLASSES)
    cfg = config['roi_head'] | dict(train_cfg=config['train_cfg']['rcnn'], test_cfg=config['test_cfg']['rcnn'])
    for head in ('mask_head', 'mask_iou_head'):
        cfg[head].update(num_convs=2)
    cfg['mask_iou_head'].update(num_fcs=2)
    torch.manual_seed(0)
    head = MODELS.build(ConfigDict(cfg | changes))
    head.init_weights()
    return head


def make_features(num_images=2, height=64, width=96, requires_grad=False):
    """Feature maps of all five FPN levels of a padded batch."""
    torch.manual_seed(1)
    maps = [torch.randn(num_images, CHANNELS, height // s, width // s) for s in (8, 16, 32)]
    maps += [torch.randn(num_images, CHANNELS, 1, 1) for _ in range(2)]
    return [feature.requires_grad_(requires_grad) for feature in maps]


def rectangle(x1, y1, x2, y2):
    return np.array([x1, y1, x2, y1, x2, y2, x1, y2], dtype=np.float64)


def make_sample(boxes, labels=None, size=(64, 96), masks=None, **metainfo):
    """A data sample whose instances are filled boxes, unless ``masks`` are given."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0), **metainfo))
    if masks is None:
        masks = PolygonMasks([[rectangle(*box)] for box in boxes.tolist()], *size)
    labels = torch.zeros(len(boxes), dtype=torch.long) if labels is None else torch.tensor(labels)
    sample.gt_instances = InstanceData(bboxes=boxes, labels=labels, masks=masks)
    return sample


def make_proposals(boxes, scores=None, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    scores = torch.linspace(0.9, 0.1, len(boxes)) if scores is None else torch.tensor(scores)
    labels = torch.zeros(len(boxes), dtype=torch.long) if labels is None else torch.tensor(labels)
    return InstanceData(bboxes=boxes, scores=scores, labels=labels)


class Positives:
    """What the heads read of mmdet's SamplingResult; each box is of the instance of its own number unless said."""

    def __init__(self, boxes, gt_inds=None, labels=None):
        self.pos_priors = torch.as_tensor(boxes).reshape(-1, 4)
        self.pos_assigned_gt_inds = torch.as_tensor(range(len(boxes)) if gt_inds is None else gt_inds).long()
        if labels is not None:
            self.pos_gt_labels = torch.as_tensor(labels).long()
