"""A data pipeline that says which file is at fault, and looks at what was loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import Compose

from mmkd.registry import TRANSFORMS
from mmkd.utils.errors import RankError

__all__ = ['CheckedPipeline', 'SampleError']

IGNORED = 255  # what mmseg's label_map makes of classes that are left out
MOST_DROPPED = 1000  # in a row; mmengine gives up there too, without a name


class SampleError(RankError):
    """A sample of a data set that cannot be used; names the data set, the sample and its file."""

    def __init__(self, message: str):
        # a DataLoader worker hands over its whole traceback as the message; the last line says what is wrong
        super().__init__(message.rpartition(f'{type(self).__name__}: ')[2].strip())


@TRANSFORMS.register_module()
class CheckedPipeline(Compose):
    """Runs the steps of a pipeline. What goes wrong, and what is wrong in a loaded image or label, becomes one line.

    mmdet and mmseg raise from within a worker, without the name of the file, or take what they are given: labels of
    another size than their image, ids that no class has (on CUDA an assertion without a message), NaN.

    Args:
        transforms: The steps, as in a data set's ``pipeline``.
        name: What to call the data set: its config key.
        num_classes: Number of classes of the label maps; None if it is not known, or ids mean something else.
        ignore_index: The id of pixels without a class, beside 255.

    Raises:
        SampleError: A sample cannot be used, or a thousand in a row were dropped.
    """

    def __init__(
        self, transforms: list, name: str, num_classes: int | None = None, ignore_index: int = IGNORED
    ) -> None:
        super().__init__(transforms)
        self.name, self.num_classes, self.ignore_index = name, num_classes, ignore_index
        self.dropped = 0

    def __call__(self, data: dict) -> dict | None:
        """Runs all steps; None where one of them drops the sample."""
        return self._run(data, self.transforms)

    def load(self, data: dict) -> dict | None:
        """Runs the steps at the beginning that load the image and its labels; none of them is random."""
        number = next((i for i, step in enumerate(self.transforms) if not _loads(step)), len(self.transforms))
        return self._run(data, self.transforms[:number])

    def _run(self, data: dict, steps: list) -> dict | None:
        sample = data.get('sample_idx'), data.get('img_path')
        for step in steps:
            try:
                data = step(data)
            except SampleError:
                raise
            except Exception as error:
                raise self._error(sample, _what_failed(step, data, error)) from error
            if data is None:
                self._count_dropped(sample, step)
                return None
            if _loads(step):
                for problem in (*_image_problems(data), *_box_problems(data), *self._label_problems(data)):
                    raise self._error(sample, problem)
        self.dropped = 0
        return data

    def _error(self, sample: tuple, what: str) -> SampleError:
        index, path = sample
        where = ', '.join(text for text in (f'sample {index}' * (index is not None), str(path or '')) if text)
        return SampleError(f'{self.name}: {where}: {what}' if where else f'{self.name}: {what}')

    def _count_dropped(self, sample: tuple, step: Any) -> None:
        self.dropped += 1
        if self.dropped >= MOST_DROPPED:
            raise self._error(
                sample, f'{self.dropped} samples in a row were dropped, this one by {type(step).__name__}'
            )

    def _label_problems(self, data: dict):
        for key in ('gt_seg_map', 'gt_depth_map'):
            labels = data.get(key)
            if labels is None:
                continue
            path = data.get('seg_map_path') or data.get('depth_map_path') or key
            if labels.ndim != 2:
                yield f'{path} has shape {labels.shape}; one number for each pixel was expected, not a colour'
            elif 'ori_shape' in data and labels.shape != tuple(data['ori_shape'][:2]):
                yield f'{path} is {_size(labels.shape)}, its image {_size(data["ori_shape"])}'
            elif key == 'gt_seg_map' and self.num_classes is not None:
                # counting is ten times as fast as sorting, and this is done for each sample
                ids = np.flatnonzero(np.bincount(labels.ravel())) if labels.dtype == np.uint8 else np.unique(labels)
                wrong = ids[(ids < 0) | (ids >= self.num_classes)]
                wrong = [int(i) for i in wrong if i not in (IGNORED, self.ignore_index)]
                if wrong:
                    yield (
                        f'{path} has the id {wrong[0]}; 0 to {self.num_classes - 1}, or {self.ignore_index} for pixels '
                        f'without a class, were expected from {self.num_classes} classes ({len(wrong)} ids are outside)'
                    )


def _loads(step: Any) -> bool:
    return type(step).__name__.startswith('Load')


def _what_failed(step: Any, data: dict, error: Exception) -> str:
    name, text = type(step).__name__, ' '.join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        return f'{name}: the sample has no {text}'
    if _loads(step):
        for key in ('img_path', 'seg_map_path', 'depth_map_path'):
            path = data.get(key)
            if isinstance(path, str) and '://' not in path and not Path(path).is_file():
                return f'{name}: {path} does not exist'
        what = 'the file' if 'img' not in data else data.get('seg_map_path') or data.get('depth_map_path')
        if what is not None:
            return f'{name}: {what} cannot be read as an image: {text}'
    shape = data.get('img_shape')
    return f'{name}: {text}' + (f' (the image is {_size(shape)})' if shape is not None else '')


def _image_problems(data: dict):
    image, shape = data.get('img'), data.get('ori_shape')
    if isinstance(image, np.ndarray) and image.dtype.kind == 'f' and not np.isfinite(image).all():
        yield f'{int((~np.isfinite(image)).sum())} values of the image are NaN or infinite'
    said = data.get('height'), data.get('width')
    if None not in said and shape is not None and tuple(shape[:2]) != said:
        yield f'the image is {_size(shape)}, but the annotation file says {_size(said)}: its boxes would lie elsewhere'


def _box_problems(data: dict):
    boxes = data.get('gt_bboxes')
    if boxes is not None and not np.isfinite(np.asarray(getattr(boxes, 'tensor', boxes))).all():
        yield 'a box has a coordinate that is NaN or infinite'


def _size(shape: tuple) -> str:
    return f'{shape[1]} wide and {shape[0]} high'
