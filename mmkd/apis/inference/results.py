"""Predictions as files: COCO results for objects, PNG for label maps and depths, and pictures to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from mmkd.apis.export.runtime import Prediction
from mmkd.utils.errors import UserError
from mmkd.utils.files import written_whole
from mmkd.visualization.scene import Scene, depth_range, draw_scene
from mmkd.visualization.side_by_side import instance_colours

__all__ = ['ResultFolder', 'coco_results']

DEPTH_SCALE = 1000.0  # of the 16-bit PNG of a depth: millimetres where a model gives metres


def coco_results(found: Prediction, image_id: int, file_name: str, least_score: float = 0.0) -> list[dict]:
    """Objects in COCO's format for results, with the name of the file beside the number of the image.

    Args:
        found: What is found in the image.
        image_id: Its number.
        file_name: Its name.
        least_score: Objects that score less are left out.
    """
    results = []
    for i in np.flatnonzero(found.scores >= least_score).tolist():
        x1, y1, x2, y2 = (round(float(side), 3) for side in found.boxes[i])
        one = dict(image_id=image_id, file_name=file_name, category_id=int(found.labels[i]))
        one.update(bbox=[x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)], score=round(float(found.scores[i]), 5))
        if found.mask_scores is not None:
            one['mask_score'] = round(float(found.mask_scores[i]), 5)
        if found.masks is not None:
            code = coco_mask.encode(np.asfortranarray(found.masks[i], dtype=np.uint8))
            one['segmentation'] = dict(size=list(code['size']), counts=code['counts'].decode())
        results.append(one)
    return results


class ResultFolder:
    """Where the results of many images go, one file each, so that a run that was broken off can go on.

    * ``results/<image>.json`` (objects) or ``results/<image>.png`` (label maps; depths times 1000 in 16 bits),
    * ``pictures/<image>.jpg``,
    * ``results.json``, all objects in COCO's format, made at the end; ``category_id`` is an index of ``classes.json``.

    Args:
        folder: The folder.
        metadata: ``classes`` and ``palette`` of the model.
        score_thr: Objects that score at least this are drawn.
        pictures: Whether pictures are drawn.
        made_from: What the results depend on besides, such as the model; kept in ``made_from.json``.

    Raises:
        UserError: The folder holds results that were made from something else.
    """

    def __init__(
        self,
        folder: str | Path,
        metadata: Mapping,
        score_thr: float = 0.5,
        pictures: bool = True,
        made_from: Mapping | None = None,
    ):
        self.folder = Path(folder)
        self._claim(dict(made_from or {}, classes=list(metadata['classes'])))
        self.classes: Sequence[str] = metadata['classes']
        self.palette = metadata.get('palette') or instance_colours(max(len(self.classes), 1)).tolist()
        self.score_thr = score_thr
        self.pictures = pictures
        for name in ('results', *(['pictures'] if pictures else [])):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write_json(self.folder / 'classes.json', list(self.classes))

    def _claim(self, made_from: dict) -> None:
        path = self.folder / 'made_from.json'
        before = json.loads(path.read_text()) if path.is_file() else made_from
        changed = sorted(key for key in {*before, *made_from} if before.get(key) != made_from.get(key))
        if changed:
            raise UserError(
                f'{self.folder}: its results were made from another {" and ".join(changed)} (see {path.name} there); '
                'name another folder, or delete this one'
            )
        self._write_json(path, made_from)

    def has(self, name: str) -> bool:
        """Whether the results of an image are there."""
        there = any((self.folder / 'results' / f'{name}{suffix}').is_file() for suffix in ('.json', '.png'))
        return there and (not self.pictures or self._picture(name).is_file())

    def write(
        self, name: str, file_name: str, image_id: int, image: np.ndarray, found: Prediction
    ) -> np.ndarray | None:
        """Writes what is found in an image (BGR), and returns the picture (BGR), where one is drawn."""
        drawn = self.draw(image, found) if self.pictures else None
        if drawn is not None:
            self._write_image(self._picture(name), drawn)
        path = self.folder / 'results' / f'{name}.json'
        if found.classes is not None:
            kind = np.uint8 if len(self.classes) <= 256 else np.uint16
            self._write_image(path.with_suffix('.png'), found.classes.astype(kind))
        elif found.depth is not None:
            depth = np.clip(found.depth * DEPTH_SCALE, 0, 65535).round().astype(np.uint16)
            self._write_image(path.with_suffix('.png'), depth)
        else:
            self._write_json(path, coco_results(found, image_id, file_name))
        return drawn

    def finish(self, names: Sequence[str]) -> Path | None:
        """Puts the objects of all images into one file, in the order of the names."""
        parts = [self.folder / 'results' / f'{name}.json' for name in names]
        if not all(path.is_file() for path in parts):
            return None  # label maps
        everything = [item for path in parts for item in json.loads(path.read_text())]
        self._write_json(self.folder / 'results.json', everything)
        return self.folder / 'results.json'

    def draw(self, image: np.ndarray, found: Prediction) -> np.ndarray:
        """The picture of what is found, BGR."""
        rgb = image[..., ::-1]
        if found.classes is not None:
            scene = Scene(classes=found.classes)
        elif found.depth is not None:
            scene = Scene(depth=found.depth)
        else:
            chosen = found.scores >= self.score_thr
            masks = None if found.masks is None else found.masks[chosen].astype(bool)
            scene = Scene(boxes=found.boxes[chosen], labels=found.labels[chosen], masks=masks)
        drawn = np.ascontiguousarray(draw_scene(rgb, scene, self.palette, depth_range(None, [scene]))[..., ::-1])
        if scene.boxes is not None:
            self._write_names(drawn, found, chosen)
        return drawn

    def _write_names(self, drawn: np.ndarray, found: Prediction, chosen: np.ndarray) -> None:
        if len(self.classes) < 2:  # one class needs no names
            return
        for box, label, score in zip(found.boxes[chosen], found.labels[chosen], found.scores[chosen], strict=True):
            place = int(box[0]) + 2, max(int(box[1]) + 12, 12)
            for colour, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                text = f'{self.classes[int(label)]} {score:.2f}'
                cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, width, cv2.LINE_AA)

    def _picture(self, name: str) -> Path:
        return self.folder / 'pictures' / f'{name}.jpg'

    def _write_image(self, path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())

    def _write_json(self, path: Path, content: list | dict) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_text(json.dumps(content))
