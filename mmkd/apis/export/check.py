"""Whether an exported file says the same of an image as the model that it is of, object by object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from .runtime import Prediction

__all__ = ['Agreement', 'Tolerance', 'compare', 'views_of']


@dataclass(frozen=True)
class Tolerance:
    """How far an exported file may be from the model.

    Attributes:
        box: Of each coordinate, in pixels.
        score: Of scores.
        mask_iou: Least IoU of a pair of masks. Masks that differ in two pixels at most pass as well: of the smallest
            objects one pixel is more than a hundredth.
        depth: Relative, of a depth.
        least_score: Objects that score less are not counted. In a coarser precision the fainter ones suppress each
            other in another order.
        share: Part of the objects, or of the pixels, that may be off. Two numbers on both sides of a threshold can be
            as near to each other as float32 is fine.
    """

    box: float = 0.5
    score: float = 0.002
    mask_iou: float = 0.99
    depth: float = 0.002
    least_score: float = 0.0
    share: float = 0.005


@dataclass
class Agreement:
    """What came out of comparing.

    Attributes:
        compared: How many objects, or pixels, were compared.
        off: How many of them are off.
        problems: A line on each object that is off, and on each map with such pixels.
        worst: The largest differences of those that are not off: ``box``, ``score``, ``mask_iou``, ``depth``.
    """

    compared: int = 0
    off: int = 0
    problems: list[str] = field(default_factory=list)
    worst: dict[str, float] = field(default_factory=dict)

    def passes(self, tolerance: Tolerance) -> bool:
        """Whether as few are off as may be."""
        return self.compared > 0 and self.off <= tolerance.share * self.compared

    def note(self, name: str, value: float) -> None:
        keep = min if name == 'mask_iou' else max
        self.worst[name] = keep(self.worst.get(name, value), value)


def compare(
    expected: Prediction, given: Prediction, tolerance: Tolerance, agreement: Agreement, name: str = 'image'
) -> None:
    """Compares what a model and its file say of an image, and adds it to the agreement.

    Objects are matched by their boxes alone, so that a label or a mask that belongs to another box is seen.

    Args:
        expected: What the model says.
        given: What the file says.
        tolerance: How far they may be from each other.
        agreement: Where it is written down.
        name: Of the image.
    """
    if expected.classes is not None:
        _compare_maps(expected.classes != given.classes, 'classes', agreement, name)
    elif expected.depth is not None:
        relative = np.abs(given.depth - expected.depth) / np.maximum(np.abs(expected.depth), 1e-6)
        _compare_maps(relative > tolerance.depth, 'depths', agreement, name)
        agreement.note('depth', float(np.median(relative)))
    else:
        _compare_objects(expected, given, tolerance, agreement, name)


def _compare_maps(off: np.ndarray, what: str, agreement: Agreement, name: str) -> None:
    agreement.compared += off.size
    agreement.off += int(off.sum())
    if off.any():
        agreement.problems.append(f'{name}: {int(off.sum())} of {off.size} {what} differ')


def _compare_objects(
    expected: Prediction, given: Prediction, tolerance: Tolerance, agreement: Agreement, name: str
) -> None:
    agreement.compared += int((expected.scores >= tolerance.least_score).sum())
    matched = list(_matches(expected, given, tolerance.box))
    # What one of them has and the other has not, apart from those that are the last on the list.
    for index, (side, mine) in enumerate((('model', expected), ('file', given))):
        alone = sorted(set(range(len(mine.boxes))) - {pair[index] for pair in matched})
        last = mine.scores.min(initial=1.0) + tolerance.score
        for i in alone:
            if mine.scores[i] > max(last, tolerance.least_score):
                agreement.off += 1
                text = f'label {mine.labels[i]}, score {mine.scores[i]:.3f}, box {np.round(mine.boxes[i], 1).tolist()}'
                agreement.problems.append(f'{name}: only the {side} has {text}')
    for i, j in matched:
        if expected.scores[i] < tolerance.least_score:
            continue
        differences = list(_differences(expected, given, i, j, tolerance, agreement))
        if differences:
            agreement.off += 1
            box = np.round(expected.boxes[i], 1).tolist()
            agreement.problems.append(f'{name}: box {box}: {", ".join(differences)}')


def _matches(expected: Prediction, given: Prediction, reach: float) -> Iterator[tuple[int, int]]:
    """Pairs of objects with the same box. Where several have it, those of a label belong together."""
    if not len(expected.boxes) or not len(given.boxes):
        return
    distance = np.abs(expected.boxes[:, None].astype(np.float64) - given.boxes[None]).max(-1)
    other_label = expected.labels[:, None] != given.labels[None]
    other_score = np.abs(expected.scores[:, None] - given.scores[None])
    # far ones cost the same however far they are, so that one of them does not push the others apart
    cost = np.minimum(distance, 4 * reach) / reach + 0.01 * other_label + 0.01 * other_score
    for i, j in zip(*linear_sum_assignment(cost), strict=True):
        if distance[i, j] <= reach:
            yield int(i), int(j)


def _differences(
    expected: Prediction, given: Prediction, i: int, j: int, tolerance: Tolerance, agreement: Agreement
) -> Iterator[str]:
    agreement.note('box', float(np.abs(expected.boxes[i] - given.boxes[j]).max()))
    if expected.labels[i] != given.labels[j]:
        yield f'label {given.labels[j]} instead of {expected.labels[i]}'
    for what in ('scores', 'mask_scores'):
        if getattr(expected, what) is None:
            continue
        one, other = float(getattr(expected, what)[i]), float(getattr(given, what)[j])
        if abs(one - other) > tolerance.score:
            yield f'{what[:-1].replace("_", " ")} {other:.4f} instead of {one:.4f}'
        else:
            agreement.note('score', abs(one - other))
    if expected.masks is not None:
        one, other = expected.masks[i].astype(bool), given.masks[j]
        different = int((one ^ other).sum())
        iou = 1 - different / max(int((one | other).sum()), 1)
        if iou <= tolerance.mask_iou and different > 2:
            yield f'mask IoU {iou:.4f}'
        elif different > 2:
            agreement.note('mask_iou', iou)


def views_of(image: np.ndarray, size: Sequence[int] | None) -> list[np.ndarray]:
    """The image, and a part of it of another size and shape, so that sizes are checked as well.

    Args:
        image: (H, W, 3).
        size: What the file takes, where it takes one size only: the image is resized to it.
    """
    if size:
        import cv2

        return [cv2.resize(image, tuple(reversed(size)))]
    height, width = image.shape[:2]
    return [image, np.ascontiguousarray(image[: max(height * 3 // 4, 1), : max(width * 2 // 3, 1)])]
