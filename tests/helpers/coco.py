"""COCO annotations in other forms."""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

__all__ = ['with_polygons']


def with_polygons(annotations: dict) -> dict:
    """The annotations with outlines in place of run-length codes, as most data sets have them."""
    kept = []
    for annotation in annotations['annotations']:
        mask = np.ascontiguousarray(coco_mask.decode(annotation['segmentation']))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        polygons = [outline.flatten().astype(float).tolist() for outline in outlines if len(outline) >= 3]
        if polygons:
            kept.append({**annotation, 'segmentation': polygons})
    return {**annotations, 'annotations': kept}
