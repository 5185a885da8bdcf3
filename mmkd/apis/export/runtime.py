"""Runs an exported file. Needs numpy and onnxruntime (or OpenVINO and onnx); no PyTorch, no OpenMMLab package.

Example:
    model = OnnxModel('student.onnx')
    found = model.predict(image, colour='rgb')      # (H, W, 3) uint8
    for label, score, box in zip(found.labels, found.scores, found.boxes):
        print(model.metadata['classes'][label], score, box)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .pasting import assemble_masks, paste_masks, upsample_masks

__all__ = ['BACKENDS', 'OnnxModel', 'Prediction', 'prediction_of']

BACKENDS = ('onnxruntime', 'openvino')


@dataclass
class Prediction:
    """What is found in an image; what a model does not give is None.

    Attributes:
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        scores: (n,), the best first.
        labels: (n,), indices of the classes.
        masks: (n, H, W) bool.
        mask_scores: (n,), to rank masks by where that is not the same as ranking boxes.
        classes: (H, W), the class of every pixel.
        depth: (H, W) float32.
    """

    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    mask_scores: np.ndarray | None = None
    classes: np.ndarray | None = None
    depth: np.ndarray | None = None


class OnnxModel:
    """An exported file, ready to run.

    Args:
        path: The file that ``mmkd export`` wrote.
        backend: ``'onnxruntime'`` or ``'openvino'``; on the CPU.
        threads: How many threads to use; 0 for as many as the runtime likes.

    Attributes:
        metadata: What the file says of itself: ``task``, ``classes``, ``colour``, ``size``, thresholds, ...

    Raises:
        ValueError: The file was not written by mmkd.
    """

    def __init__(self, path: str | Path, backend: str = 'onnxruntime', threads: int = 0):
        self.path = str(path)
        properties, self._run = _OPEN[backend](self.path, threads)
        if 'mmkd' not in properties:
            raise ValueError(f'{path}: it was not written by mmkd export: it does not say what its outputs are')
        self.metadata = json.loads(properties['mmkd'])

    def predict(self, image: np.ndarray, colour: str = 'rgb') -> Prediction:
        """What is found in an image.

        Args:
            image: (H, W, 3) uint8, of any size where ``metadata['size']`` is None.
            colour: ``'rgb'`` or ``'bgr'``, the order of its channels.
        """
        size = self.metadata['size']
        if size and list(image.shape[:2]) != size:
            raise ValueError(f'{self.path} takes images of {size[0]} x {size[1]} pixels, got {image.shape[:2]}')
        image = np.ascontiguousarray(image if colour == self.metadata['colour'] else image[..., ::-1])
        return prediction_of(self.run(image[None]), self.metadata, *image.shape[:2])

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of the file for images (N, H, W, 3) uint8 in its order of the channels."""
        return dict(zip(self.metadata['outputs'], self._run(images), strict=True))


def prediction_of(outputs: Mapping[str, np.ndarray], metadata: Mapping, height: int, width: int) -> Prediction:
    """What the outputs of a file for one image mean."""
    if 'labels' in outputs and 'boxes' not in outputs:
        return Prediction(classes=outputs['labels'][0])
    if 'depth' in outputs:
        return Prediction(depth=outputs['depth'][0])
    found = Prediction(outputs['boxes'], outputs['scores'], outputs['labels'], mask_scores=outputs.get('mask_scores'))
    kind, threshold = metadata.get('mask'), metadata.get('mask_thr')
    if kind == 'box':
        boxes = outputs.get('mask_boxes', found.boxes)
        found.masks = paste_masks(outputs['masks'], boxes, height, width, threshold)
    elif kind == 'image':
        grid = outputs['masks'], metadata['mask_stride'], outputs['mask_size']
        found.masks = upsample_masks(*grid, height, width, threshold)
    elif kind == 'product':
        plane = found.labels if len(outputs['saliency']) > 1 else np.zeros_like(found.labels)
        parts = outputs['shapes'], outputs['saliency'], outputs['map_boxes'], plane, outputs['map_scale']
        found.masks = assemble_masks(*parts, height, width, threshold)
    return found


def _open_onnxruntime(path: str, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    name = session.get_inputs()[0].name
    return session.get_modelmeta().custom_metadata_map, lambda images: session.run(None, {name: images})


def _open_openvino(path: str, threads: int):
    import onnx
    import openvino

    # it would take less than float32 where the processor is fast with that
    settings = dict(INFERENCE_PRECISION_HINT='f32', **(dict(INFERENCE_NUM_THREADS=threads) if threads else {}))
    compiled = openvino.Core().compile_model(path, 'CPU', settings)
    properties = {item.key: item.value for item in onnx.load(path, load_external_data=False).metadata_props}

    def run(images: np.ndarray) -> list[np.ndarray]:
        results = compiled([images])
        return [results[output] for output in compiled.outputs]

    return properties, run


_OPEN = dict(onnxruntime=_open_onnxruntime, openvino=_open_openvino)
