"""Pictures of what student and teacher see, at each validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.utils.unwrap import unwrapped
from mmkd.visualization.agreement import compare_scenes
from mmkd.visualization.scene import Scene, depth_range, draw_scene, ground_truth, predicted_scene
from mmkd.visualization.side_by_side import titled_row

__all__ = ['ValidationPanelsHook']


@HOOKS.register_module()
class ValidationPanelsHook(Hook):
    """Draws some validation images in a row: image, ground truth, teacher, student, and where the student follows.

    They go to the visualizer, and so to TensorBoard and to ``vis_data/vis_image``, as ``validation_0``,
    ``validation_1`` ... with the iteration as their step. The teacher, which does not change, predicts them once.

    Every run of ``DenseDistill`` has this hook. It need only be written into a config for other arguments.

    Args:
        number: How many images, from the beginning of the validation data; 0 for none.
        score_thr: Objects with a higher score are drawn.
    """

    priority = 'LOW'

    def __init__(self, number: int = 4, score_thr: float = 0.5):
        self.number = number
        self.score_thr = score_thr
        self._training = False
        self._drawn = 0
        self._teacher: dict[str, Scene | None] = {}
        self._truth: dict[str, Scene | None] = {}

    def before_train(self, runner: Runner) -> None:
        """From here on validations are of a training."""
        self._training = True

    def after_train(self, runner: Runner) -> None:
        """A validation later on is none of it."""
        self._training = False

    def before_val_epoch(self, runner: Runner) -> None:
        """Begins anew."""
        self._drawn = 0

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence | None = None
    ) -> None:
        """Draws the images of the first batches."""
        if not self._training or not is_main_process() or self._drawn >= self.number:
            return
        samples = [sample.cpu() for sample in outputs or () if _is_file(sample)][: self.number - self._drawn]
        scenes = [predicted_scene(sample, self.score_thr) for sample in samples]
        if not samples or None in scenes:  # of a task that has no pictures
            return
        if samples[0].img_path not in self._teacher:
            self._ask_teacher(runner, data_batch)
        for sample, scene in zip(samples, scenes, strict=True):
            row = self._row(runner, sample, scene)
            runner.visualizer.add_image(f'validation_{self._drawn}', row, step=runner.iter)
            self._drawn += 1

    def _row(self, runner: Runner, sample: Any, student: Scene) -> np.ndarray:
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        dataset = runner.val_dataloader.dataset
        if sample.img_path not in self._truth:
            self._truth[sample.img_path] = ground_truth(sample, _info_of(dataset, sample.img_path), image.shape[:2])
        truth, teacher = self._truth[sample.img_path], self._teacher.get(sample.img_path)
        palette = dataset.metainfo.get('palette')
        depths = depth_range(truth, [scene for scene in (teacher, student) if scene is not None])
        named = {'ground truth': truth, 'teacher': teacher, 'student': student}
        panels = [('image', image)]
        panels += [
            (name, draw_scene(image, scene, palette, depths)) for name, scene in named.items() if scene is not None
        ]
        if teacher is not None:
            panels.append(('student / teacher', compare_scenes(image, teacher, student, truth)[0]))
        return titled_row(panels)

    def _ask_teacher(self, runner: Runner, data_batch: Any) -> None:
        model = unwrapped(runner.model)
        teacher = getattr(model, 'teacher', None)
        try:
            samples = teacher.val_step(data_batch)
        except (AttributeError, ValueError) as error:  # another library's module, or weights up to the last tap only
            runner.logger.info(f'ValidationPanelsHook: pictures without the teacher, which cannot predict: {error}')
            samples = []
        self._teacher.update({sample.img_path: None for sample in data_batch['data_samples'] if _is_file(sample)})
        for sample in samples:
            self._teacher[sample.img_path] = predicted_scene(sample.cpu(), self.score_thr)


def _is_file(sample: Any) -> bool:
    path = getattr(sample, 'img_path', None)
    return isinstance(path, str) and Path(path).is_file()


def _info_of(dataset: Any, path: str) -> Mapping | None:
    """What a data set knows of an image; those at its beginning are found at once."""
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if info.get('img_path') == path:
            return info
    return None
