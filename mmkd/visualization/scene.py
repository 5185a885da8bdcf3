"""What is seen in an image, by a model or by those who labelled it: objects, a class or a depth for every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from .side_by_side import draw_boxes, draw_classes, draw_depth, draw_instances

__all__ = ['Scene', 'depth_range', 'draw_scene', 'ground_truth', 'predicted_scene']


@dataclass(frozen=True)
class Scene:
    """Of these, one kind is there, and the others are None.

    Attributes:
        boxes: Objects, (N, 4) x1, y1, x2, y2 in pixels.
        labels: Their classes, (N,).
        masks: Their masks, (N, H, W) bool; None of a detector without masks.
        classes: The class of every pixel, (H, W); 255 where there is none.
        depth: The depth of every pixel, (H, W); 0 where there is none.
    """

    boxes: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    classes: np.ndarray | None = None
    depth: np.ndarray | None = None


def predicted_scene(sample: Any, score_thr: float = 0.5) -> Scene | None:
    """What a model sees.

    Args:
        sample: A data sample of mmdet, mmseg or mmkd's depth models, with predictions, on the CPU.
        score_thr: Objects with a higher score count.

    Returns:
        The scene; None of a sample without such predictions.
    """
    if 'pred_depth_map' in sample:
        return Scene(depth=sample.pred_depth_map.data[0].numpy())
    if 'pred_sem_seg' in sample:
        return Scene(classes=sample.pred_sem_seg.data[0].numpy())
    if 'pred_instances' not in sample:
        return None
    found = sample.pred_instances[sample.pred_instances.scores > score_thr]
    masks = found.masks.numpy().astype(bool) if 'masks' in found else None
    return Scene(boxes=found.bboxes.numpy(), labels=found.labels.numpy(), masks=masks)


def ground_truth(sample: Any, info: Mapping | None, shape: tuple[int, int]) -> Scene | None:
    """What those saw who labelled the image.

    Args:
        sample: A data sample; labels of pixels are read from it, where they are of the image's size.
        info: What the data set knows of the image (``dataset.get_data_info``): objects are read from it, since it has
            them at the image's size whatever the pipeline does.
        shape: Height and width of the image.

    Returns:
        The scene; None where the labels are not there.
    """
    if 'gt_depth_map' in sample and tuple(sample.gt_depth_map.shape) == shape:
        return Scene(depth=sample.gt_depth_map.data[0].numpy())
    if 'gt_sem_seg' in sample and tuple(sample.gt_sem_seg.shape) == shape:
        return Scene(classes=sample.gt_sem_seg.data[0].numpy())
    instances = [item for item in (info or {}).get('instances', ()) if not item.get('ignore_flag')]
    if not instances:
        return None
    boxes = np.array([item['bbox'] for item in instances], np.float32)
    labels = np.array([item['bbox_label'] for item in instances])
    masks = None
    if all(item.get('mask') for item in instances):
        masks = np.stack([_decode(item['mask'], shape) for item in instances])
    return Scene(boxes=boxes, labels=labels, masks=masks)


def _decode(mask: Any, shape: tuple[int, int]) -> np.ndarray:
    """A polygon or a run-length code as (H, W) bool."""
    if isinstance(mask, list):
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, *shape))
    elif isinstance(mask['counts'], list):
        mask = coco_mask.frPyObjects(mask, *shape)
    return coco_mask.decode(mask).astype(bool)


def depth_range(truth: Scene | None, scenes: Sequence[Scene]) -> tuple[float, float]:
    """The nearest and the farthest depth of some scenes, so that the same depth has one colour in all of them.

    They are those of the true depth, if it is known, but for the outermost hundredths.
    """
    maps = [scene.depth for scene in ([truth] if truth is not None else scenes) if scene.depth is not None]
    depths = np.concatenate([depth[depth > 0] for depth in maps] or [np.zeros(0)])
    near, far = np.percentile(depths, [1, 99]) if len(depths) else (1.0, 2.0)
    return float(near), float(max(far, 1.01 * near))


def draw_scene(
    image: np.ndarray,
    scene: Scene,
    palette: Sequence | None = None,
    depths: tuple[float, float] = (1.0, 2.0),
    scale: int = 1,
) -> np.ndarray:
    """Draws a scene.

    Args:
        image: (H, W, 3) uint8, RGB.
        scene: What is seen in it.
        palette: An RGB colour for each class; needed for the classes of pixels.
        depths: The range of :func:`depth_range`.
        scale: Enlarges pictures of masks by this factor, for thin outlines.

    Returns:
        (H, W, 3) uint8, enlarged by ``scale``.
    """
    if scene.depth is not None:
        drawn = draw_depth(scene.depth, *depths)
    elif scene.classes is not None:
        drawn = draw_classes(image, scene.classes, palette, alpha=1.0)
    elif scene.masks is not None:
        return draw_instances(image, scene.masks, scale=scale)
    else:
        drawn = draw_boxes(image, scene.boxes)
    return drawn.repeat(scale, 0).repeat(scale, 1)
