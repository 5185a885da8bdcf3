"""Pictures that compare several models on one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

__all__ = ['draw_boxes', 'draw_classes', 'draw_depth', 'draw_instances', 'save_rows', 'save_side_by_side', 'titled_row']

GOLDEN_ANGLE = 137.508  # degrees; neighbouring indices get hues far apart, however many there are


def instance_colours(number: int) -> np.ndarray:
    """Returns ``(number, 3)`` uint8 RGB colours, each far from the next."""
    if number == 0:
        return np.zeros((0, 3), dtype=np.uint8)
    hsv = np.zeros((1, number, 3), dtype=np.float32)
    hsv[..., 0] = np.arange(number) * GOLDEN_ANGLE % 360
    hsv[..., 1] = 0.75
    hsv[..., 2] = 1.0
    return (cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0] * 255).round().astype(np.uint8)


def draw_instances(image: np.ndarray, masks: np.ndarray, alpha: float = 0.35, scale: int = 1) -> np.ndarray:
    """Draws one coloured area and outline for each mask.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        masks: ``(N, H, W)`` bool.
        alpha: How much the colour covers the area, 0 to 1.
        scale: Enlarges the picture by this factor first, so that outlines on small images are thin.

    Returns:
        ``(H * scale, W * scale, 3)`` uint8; ``image`` is not changed.

    Raises:
        ValueError: The masks are not of the image's size.
    """
    if masks.ndim != 3 or masks.shape[1:] != image.shape[:2]:
        raise ValueError(f'masks: shape {masks.shape} was given, (N, {image.shape[0]}, {image.shape[1]}) was expected')
    size = (image.shape[1] * scale, image.shape[0] * scale)
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) if scale != 1 else image.copy()
    for mask, colour in zip(masks, instance_colours(len(masks)), strict=True):
        area = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        inside = area > 0
        canvas[inside] = (canvas[inside] * (1 - alpha) + colour * alpha).astype(np.uint8)
        outline, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outline, -1, colour.tolist(), thickness=max(1, scale - 1), lineType=cv2.LINE_8)
    return canvas


def draw_boxes(image: np.ndarray, boxes: np.ndarray, colour: Sequence[int] | None = None) -> np.ndarray:
    """Draws the outline of each box.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        boxes: ``(N, 4)`` x1, y1, x2, y2 in pixels.
        colour: RGB of all; by default each has its own.

    Returns:
        ``(H, W, 3)`` uint8; ``image`` is not changed.
    """
    canvas = image.copy()
    thickness = max(1, round(max(image.shape[:2]) / 320))
    colours = instance_colours(len(boxes)).tolist() if colour is None else [list(colour)] * len(boxes)
    for (x1, y1, x2, y2), one in zip(np.asarray(boxes).round().astype(int).tolist(), colours, strict=True):
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), one, thickness)
    return canvas


def draw_classes(image: np.ndarray, classes: np.ndarray, palette: Sequence, alpha: float = 0.5) -> np.ndarray:
    """Draws the class of every pixel.

    Args:
        image: ``(H, W, 3)`` uint8, RGB.
        classes: ``(H, W)`` integers. What is not an index of the palette, such as 255 for 'no label', is drawn black.
        palette: An RGB colour, 0 to 255, for each class.
        alpha: How much the colour covers the image, 0 to 1.

    Returns:
        ``(H, W, 3)`` uint8; ``image`` is not changed.

    Raises:
        ValueError: The classes are not of the image's size.
    """
    if classes.shape != image.shape[:2]:
        raise ValueError(f'classes: shape {classes.shape} was given, {image.shape[:2]} was expected')
    colours = np.vstack([np.asarray(palette, dtype=np.float32), np.zeros((1, 3), np.float32)])
    known = (classes >= 0) & (classes < len(palette))
    covered = colours[np.where(known, classes, len(palette))]
    return (image * (1 - alpha) + covered * alpha).round().astype(np.uint8)


def draw_depth(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """Draws a depth map: near is bright, far is dark, equal ratios of depth are equal steps of colour.

    Args:
        depth: ``(H, W)``, 0 or less where there is no reading, which is drawn black.
        near: The depth of the brightest colour, above 0; what is nearer has it, too.
        far: The depth of the darkest colour, above ``near``.

    Returns:
        ``(H, W, 3)`` uint8, RGB.

    Raises:
        ValueError: The range is empty.
    """
    if not 0 < near < far:
        raise ValueError(f'near, far: 0 < near < far was expected, got {near} and {far}')
    place = np.log(np.clip(depth, near, far) / near) / np.log(far / near)
    # not down to the black end of the colours: black stands for no reading
    colours = cv2.applyColorMap((255 - 215 * place).round().astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.where((depth > 0)[..., None], colours, 0).astype(np.uint8)


def save_side_by_side(panels: Sequence[tuple[str, np.ndarray]], path: str | Path, title: str = '') -> None:
    """Writes a row of titled pictures to one PNG or JPEG file.

    Args:
        panels: Title and ``(H, W, 3)`` uint8 RGB picture of each, from left to right; all of one size.
        path: The file; its folder is made.
        title: A line above them all.

    Raises:
        ValueError: No panels were given.
    """
    save_rows([panels], path, title)


def save_rows(rows: Sequence[Sequence[tuple[str, np.ndarray] | None]], path: str | Path, title: str = '') -> None:
    """Writes rows of titled pictures to one PNG or JPEG file.

    Args:
        rows: From top to bottom, each as for :func:`save_side_by_side`; None leaves a place free.
        path: The file; its folder is made.
        title: A line above them all.

    Raises:
        ValueError: No panels were given.
    """
    first = next((panel for row in rows for panel in row if panel is not None), None)
    if first is None:
        raise ValueError('panels: none were given')
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = first[1].shape[:2]
    panel_width = 4.0  # inches
    row_height = panel_width * height / width + 0.45
    columns = max(map(len, rows))
    figure = Figure(figsize=(panel_width * columns, row_height * len(rows) + (0.35 if title else 0)))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, places in zip(rows, axes, strict=True):
        for panel, axis in zip(row, places, strict=False):
            if panel is not None:
                axis.imshow(panel[1])
                axis.set_title(panel[0], fontsize=14)
    if title:
        figure.suptitle(title, fontsize=11, color='0.35')
    figure.tight_layout(pad=0.4)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def titled_row(panels: Sequence[tuple[str, np.ndarray]], longest: int = 360) -> np.ndarray:
    """A row of titled pictures as one array, for a visualizer.

    Args:
        panels: Title and ``(H, W, 3)`` uint8 RGB picture of each; all of one size.
        longest: The longer side of each, in pixels.

    Returns:
        ``(H', W', 3)`` uint8.
    """
    height, width = panels[0][1].shape[:2]
    factor = longest / max(height, width)
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    columns = []
    for title, picture in panels:
        resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
        head = np.full((22, size[0], 3), 255, np.uint8)
        cv2.putText(head, title, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
        columns.append(np.pad(np.concatenate([head, resized]), ((0, 0), (0, 4), (0, 0)), constant_values=255))
    return np.ascontiguousarray(np.concatenate(columns, axis=1))
