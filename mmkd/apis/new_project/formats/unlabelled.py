"""Images alone: a teacher that is trained already labels them, and the student learns from its labels."""

from __future__ import annotations

import argparse
import io

import numpy as np
from PIL import Image as PILImage

from mmkd.apis.errors import UserError, user_errors

from ..folder import Folder
from ..records import Image, Labels, Object, Problem, encode_mask
from .supervised import kind_of

__all__ = ['finds', 'read']


def finds(folder: Folder) -> int:
    """None: images alone are what is left where no labels are found."""
    return 0


def read(folder: Folder, options: argparse.Namespace) -> Labels:
    """Lets the teacher label every image.

    Raises:
        UserError: There is no teacher.
    """
    if not options.teacher:
        raise UserError(
            f'folder: {str(folder.root)!r} holds images and no labels (looked for COCO, labelme, YOLO, VOC and label '
            'maps). Label them, with labelme for example; or let a trained model of MMDetection, MMSegmentation or '
            'mmkd label them: --teacher CONFIG CHECKPOINT'
        )
    images, problems = [], []
    for path in folder.pictures:
        image = folder.open(path)
        (problems if isinstance(image, Problem) else images).append(image)
    names = _predict(images, *options.teacher, options.score_thr, options.device)
    kind = 'semantic' if any(image.class_map for image in images) else kind_of(images)
    return Labels('images', kind, names, images, problems)


def _predict(images: list[Image], config: str, checkpoint: str, score_thr: float, device: str) -> list[str]:
    """Writes what a model sees into the images; returns its classes."""
    import torch
    from mmengine.dataset import Compose, pseudo_collate
    from mmengine.registry import DefaultScope

    from mmkd.apis.config import read_config
    from mmkd.apis.preflight import class_names
    from mmkd.visualization.trained import build_network, load_network

    cfg = read_config(config)
    scope = cfg.get('default_scope', 'mmdet')
    with user_errors('--teacher', cfg):
        network = load_network(build_network(cfg), checkpoint, device)
        dataset = cfg.test_dataloader.dataset
        names = class_names(dataset, scope)
        with DefaultScope.overwrite_default_scope(scope):
            pipeline = Compose([step for step in dataset.pipeline if 'LoadAnnotations' not in step['type']])
    if names is None:
        raise UserError(f'--teacher: {config} does not name its classes (test_dataloader.dataset.metainfo.classes)')
    for number, image in enumerate(images):
        item = pipeline(dict(img_path=str(image.path), img_id=number))
        with torch.no_grad():
            (sample,) = network.test_step(pseudo_collate([item]))
        _take_over(image, sample.cpu(), names, score_thr)
    return names


def _take_over(image: Image, sample, names: list[str], score_thr: float) -> None:
    if 'pred_sem_seg' in sample:
        buffer = io.BytesIO()
        PILImage.fromarray(sample.pred_sem_seg.data[0].numpy().astype(np.uint8)).save(buffer, 'PNG')
        image.class_map = buffer.getvalue()
        return
    found = sample.pred_instances[sample.pred_instances.scores > score_thr]
    masks = found.masks.numpy() if 'masks' in found else [None] * len(found)
    image.objects = [
        Object(names[label], tuple(box), None if mask is None else encode_mask(mask))
        for label, box, mask in zip(found.labels.tolist(), found.bboxes.tolist(), masks, strict=True)
    ]
