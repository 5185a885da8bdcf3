"""One training step of CenterMask against the original: targets, proposals, RoIs, losses and gradients.

The originals were run on two images. The second one lies only beside goldens of its own (see ``centermask_goldens``).
Without it, what the first image decides alone is still compared: its proposals and RoIs, all targets, and, where the
second image has no objects, every loss but that of the classes and the gradients of all that only positives reach.
"""

import json
import re
from functools import lru_cache

import numpy as np
import pytest
import torch
from helpers.centermask_goldens import (
    collate,
    golden_files,
    golden_model,
    image_of_golden_files,
    load,
    original_names,
    packed_image,
)
from helpers.golden import GOLDENS
from mmdet.structures.mask import PolygonMasks
from mmengine.structures import InstanceData

LOSSES = {
    'loss_fcos_cls': 'loss_cls',
    'loss_fcos_loc': 'loss_bbox',
    'loss_fcos_ctr': 'loss_centerness',
    'loss_mask': 'loss_mask',
    'loss_maskiou': 'loss_mask_iou',
}
SIZES = {'im1': (256, 320), 'im2': (175, 310)}
# Parameters that no class loss reaches, by their names in the original
ONLY_POSITIVES = r'fcos_head\.(bbox_tower|bbox_pred|ctrness|scales)|roi_heads\.'


def ground_truth(tag: str, empty: bool = False) -> InstanceData:
    data = json.loads((GOLDENS / 'centermask2' / 'golden_gt.json').read_text())
    (image,) = (image for image in data['images'] if image['golden_key'] == tag)
    objects = [a for a in data['annotations'] if a['image_id'] == image['id'] and not empty]
    boxes = torch.tensor([a['bbox'] for a in objects], dtype=torch.float64).reshape(-1, 4)
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1).float()
    polygons = [[np.array(polygon) for polygon in a['segmentation']] for a in objects]
    masks = PolygonMasks(polygons, image['height'], image['width'])
    return InstanceData(bboxes=boxes, labels=torch.tensor([a['category_id'] - 1 for a in objects]).long(), masks=masks)


@lru_cache
def image(tag: str) -> np.ndarray | None:
    return image_of_golden_files(tag)


has_second_image = image_of_golden_files('im2') is not None
needs_second_image = pytest.mark.skipif(
    not has_second_image, reason='the second image is not in this repository: set MMKD_GOLDENS'
)


def batch_of(model, empty: tuple[str, ...] = ()):
    """Both images; a black second one where it is not at hand."""
    items = []
    for tag in SIZES:
        pixels = image(tag) if image(tag) is not None else np.zeros((*SIZES[tag], 3), np.uint8)
        assert pixels.shape[:2] == SIZES[tag]
        items.append(packed_image(pixels, gt_instances=ground_truth(tag, tag in empty)))
    batch = model.data_preprocessor(collate(*items), training=True)
    assert batch['inputs'].shape == (2, 3, 256, 320)
    return batch


class Step:
    """One training step, with what the stages hand to each other."""

    def __init__(self, name: str, empty: tuple[str, ...] = ()):
        self.name = name
        self.model = golden_model(name).train()
        self.batch = batch_of(self.model, empty)
        self.samples = self.batch['data_samples']
        torch.manual_seed(0)
        self.model.zero_grad()
        head, roi_head = self.model.bbox_head, self.model.roi_head
        features = self.model.extract_feat(self.batch['inputs'])
        self.outputs = head(features)
        instances, metas = [s.gt_instances for s in self.samples], [s.metainfo for s in self.samples]
        self.losses = head.loss_by_feat(*self.outputs, instances, metas)
        self.proposals = head.predict_by_feat(*self.outputs, metas, cfg=self.model.train_cfg.rpn_proposal)
        self.sampled = roi_head.sample_rois(self.proposals, self.samples)
        self.second = roi_head.mask_loss(features, self.sampled, self.samples)
        self.losses |= self.second['loss_mask']
        self.model.eval()

    def gradients(self) -> dict[str, torch.Tensor]:
        self.model.zero_grad()
        sum(loss.sum() for loss in self.losses.values()).backward()
        return {name: p.grad for name, p in self.model.named_parameters() if p.requires_grad}


def train_files():
    files = [path for path in golden_files('D_train_*') if not path.stem.startswith('D_train_empty')]
    assert files
    return [pytest.param(p, id=p.stem, marks=[] if 'slim' in p.stem else [pytest.mark.slow]) for p in files]


@pytest.fixture(scope='module')
def step(request):
    step = Step(re.fullmatch(r'D_train_(.+)', request.param.stem)[1])
    step.golden = load(request.param)
    return step


on_train_files = pytest.mark.parametrize('step', train_files(), indirect=True)


# --- both images have objects ----------------------------------------------------------------------------------------


@on_train_files
def test_labels_and_targets_of_all_locations_equal_the_original(step):
    head, golden = step.model.bbox_head, step.golden
    points = head.prior_generator.grid_priors([level.shape[-2:] for level in step.outputs[0]], device='cpu')
    labels, targets = (torch.cat(parts) for parts in head.get_targets(points, [s.gt_instances for s in step.samples]))
    np.testing.assert_array_equal(labels, golden['fcos_labels'])
    positive = golden['fcos_pos_index']
    assert len(positive) == golden['fcos_num_pos'] > 50
    np.testing.assert_allclose(targets[positive], golden['fcos_pos_reg_targets'], rtol=1e-5, atol=1e-6)
    total = head.centerness_target(targets[positive]).sum().item()
    assert total == pytest.approx(float(golden['fcos_ctr_target_sum']), rel=1e-5)


def nearest_rows(boxes, classes, golden_boxes, golden_classes):
    """For each golden row our row of the same class with the nearest box, and the distance of the farthest pair.

    Rows may be equal, where one location makes a box for two classes: the nearest is sought both ways.
    """
    distance = torch.cdist(torch.from_numpy(golden_boxes), boxes, p=torch.inf)
    distance[torch.from_numpy(golden_classes)[:, None] != classes] = torch.inf
    farthest = max(distance.min(dim=0).values.max().item(), distance.min(dim=1).values.max().item())
    return distance.argmin(dim=1), farthest


def images_at_hand():
    return [tag_and_index for tag_and_index in (('im1', 0), ('im2', 1)) if image(tag_and_index[0]) is not None]


@on_train_files
def test_proposals_equal_the_original(step):
    for _, i in images_at_hand():
        boxes, scores, classes = (step.golden[f'prop{i}_{part}'] for part in ('boxes', 'scores', 'classes'))
        proposals = step.proposals[i]
        assert len(proposals) == len(boxes)
        index, farthest = nearest_rows(proposals.bboxes, proposals.labels, boxes, classes)
        assert farthest < 5e-3
        assert len(index.unique()) == len(index)
        np.testing.assert_allclose(proposals.scores[index], scores, rtol=0, atol=2e-4)


@on_train_files
def test_positive_rois_their_masks_and_mask_ious_equal_the_original(step):
    golden, second = step.golden, step.second
    rois, labels = second['pos_rois'], second['pos_labels']
    areas = torch.tensor([float(h * w) for h, w in SIZES.values()])
    levels = step.model.roi_head.mask_roi_extractor.map_roi_levels(rois, 3, areas)
    rows = torch.arange(len(labels))
    ours = dict(
        level=levels,
        mask_target=second['mask_targets'],
        mask_logits=second['mask_preds'][rows, labels].detach(),
        maskiou_target=second['mask_iou_targets'],
        maskiou_pred=second['mask_iou_preds'][rows, labels].detach(),
    )
    for _, i in images_at_hand():
        mine, theirs = rois[:, 0] == i, golden['fg_image'] == i
        assert mine.sum() == theirs.sum() > 5
        golden_rows = golden['fg_boxes'][theirs], golden['fg_classes'][theirs]
        index, farthest = nearest_rows(rois[mine, 1:], labels[mine], *golden_rows)
        assert farthest < 5e-3
        for name, tolerance in dict(level=0, mask_logits=2e-4, maskiou_pred=2e-4).items():
            np.testing.assert_allclose(ours[name][mine][index], golden[f'fg_{name}'][theirs], rtol=0, atol=tolerance)
        # A vertex on the edge of a cell may fall on either side: rounding of the box decides.
        targets = ours['mask_target'][mine][index].numpy() > 0.5
        wrong = (targets != golden['fg_mask_target'][theirs].astype(bool)).sum(axis=(1, 2))
        assert wrong.max() <= 2, wrong
        same = wrong == 0
        assert same.mean() > 0.9
        np.testing.assert_allclose(
            ours['maskiou_target'][mine][index][same], golden['fg_maskiou_target'][theirs][same], rtol=0, atol=5e-3
        )


@on_train_files
def test_the_detector_puts_these_steps_together(step):
    """The steps above were called one by one; a training run calls ``loss``."""
    losses = step.model.train()(**step.batch, mode='loss')
    step.model.eval()
    assert losses.keys() == set(LOSSES.values())
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(step.losses[name].item(), rel=1e-5)


@needs_second_image
@on_train_files
def test_losses_and_gradients_equal_the_original(step):
    golden, names = step.golden, original_names(step.name)
    for theirs, ours in LOSSES.items():
        assert step.losses[ours].item() == pytest.approx(float(golden[theirs]), rel=2e-5), theirs
    check_gradient_norms(step.gradients(), golden, '', names)


# --- images without objects ------------------------------------------------------------------------------------------


def check_gradient_norms(gradients, golden, prefix, names, only=''):
    checked = 0
    for key in golden:
        if not key.startswith(f'{prefix}gradnorm/') or not re.search(only, key):
            continue
        gradient = gradients[names[key.removeprefix(f'{prefix}gradnorm/')]]
        assert gradient is not None, key
        norm = gradient.double().norm().item()
        assert norm == pytest.approx(float(golden[key]), rel=1e-2, abs=1e-9), key
        checked += 1
        values = golden.get(key.replace('gradnorm', 'gradval'))
        if values is not None and len(values) > 1 and np.any(values):
            sampled = gradient.flatten()[golden[key.replace('gradnorm', 'gradidx')]].double().numpy()
            cosine = sampled @ values / np.linalg.norm(sampled) / np.linalg.norm(values)
            assert cosine > 0.99, key
    assert checked >= 10
    if not only and f'{prefix}total_gradnorm' in golden:
        total = torch.stack([g.double().norm() for g in gradients.values() if g is not None]).norm().item()
        assert total == pytest.approx(float(golden[f'{prefix}total_gradnorm']), rel=1e-2)


def empty_files():
    return [
        pytest.param(p, id=p.stem, marks=[] if 'slim' in p.stem else [pytest.mark.slow])
        for p in golden_files('D_train_empty_*')
    ]


@pytest.mark.parametrize('path', empty_files())
def test_second_image_without_objects(path):
    golden, name = load(path), path.stem.removeprefix('D_train_empty_')
    step = Step(name, empty=('im2',))
    for theirs, ours in LOSSES.items():
        if ours != 'loss_cls' or has_second_image:
            assert step.losses[ours].item() == pytest.approx(float(golden[f'im2_empty/{theirs}']), rel=2e-5), theirs
    only = '' if has_second_image else ONLY_POSITIVES
    check_gradient_norms(step.gradients(), golden, 'im2_empty/', original_names(name), only)


@pytest.mark.parametrize('path', empty_files())
def test_no_image_with_objects(path):
    golden, name = load(path), path.stem.removeprefix('D_train_empty_')
    step = Step(name, empty=('im1', 'im2'))
    for theirs, ours in LOSSES.items():
        if ours != 'loss_cls' or has_second_image:
            assert step.losses[ours].item() == pytest.approx(float(golden[f'both_empty/{theirs}']), rel=2e-5), theirs
    gradients = step.gradients()
    assert all(gradient is not None for gradient in gradients.values())
    only = '' if has_second_image else ONLY_POSITIVES
    check_gradient_norms(gradients, golden, 'both_empty/', original_names(name), only)


@pytest.mark.parametrize('path', empty_files())
def test_class_loss_of_the_first_image_whatever_the_second(path):
    """The second image has no objects in either run, so it cancels out of their difference.

    The class losses are sums over the locations of both images, divided by the number of positives of the first
    (by 1 where there is none).
    """
    golden, name = load(path), path.stem.removeprefix('D_train_empty_')
    full, empty = Step(name, empty=('im2',)), Step(name, empty=('im1', 'im2'))
    head = full.model.bbox_head
    points = head.prior_generator.grid_priors([level.shape[-2:] for level in full.outputs[0]], device='cpu')
    labels, _ = head.get_targets(points, [s.gt_instances for s in full.samples])
    positives = int((torch.cat(labels) < 80).sum())
    assert positives > 10

    def difference(full_loss, empty_loss):
        return float(full_loss) * positives - float(empty_loss)

    actual = difference(full.losses['loss_cls'], empty.losses['loss_cls'])
    expected = difference(golden['im2_empty/loss_fcos_cls'], golden['both_empty/loss_fcos_cls'])
    # each term is good to 2e-5 of itself
    assert actual == pytest.approx(expected, abs=2e-5 * 2 * float(golden['im2_empty/loss_fcos_cls']) * positives)
