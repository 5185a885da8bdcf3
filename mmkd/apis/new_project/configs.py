"""The configs of a project, and the settings that follow from its data."""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmkd.visualization.side_by_side import instance_colours

from .records import Image, Labels

__all__ = ['settings_of', 'write_configs', 'write_data_config']

BATCH_SIZE = 4
EPOCHS = 50
MIN_ITERS, MAX_ITERS = 500, 20000
LONGEST_SIDE = 800
SMALL = 32  # pixels: objects of this side are one cell of a map of stride 32
NETWORKS = dict(
    instances=('centermask-lite_efficientnet-lite0', 'centermask_efficientnet-lite2'),
    boxes=('fcos_efficientnet-lite0', 'fcos_efficientnet-lite2'),
    semantic=('pyramid_efficientnet-lite0', 'pyramid_efficientnet-lite2'),
)
TITLES = dict(
    instances=('CenterMask-Lite on EfficientNet-Lite0', 'CenterMask on EfficientNet-Lite2'),
    boxes=('FCOS on EfficientNet-Lite0, 64 channels', 'FCOS on EfficientNet-Lite2, 128 channels'),
    semantic=('EfficientNet-Lite0 and a light pyramid head', 'EfficientNet-Lite2 and a light pyramid head'),
)


def write_configs(created, source: Path, folder: Path, max_iters: int | None) -> None:
    """Writes data.py, teacher.py, student.py, student_kd.py and README.md.

    Args:
        created: The project, a :class:`~mmkd.apis.new_project.project.Created`.
        source: The user's folder.
        folder: Where to.
        max_iters: How long is trained; None for what the number of images suggests.
    """
    labels = created.labels
    settings = write_data_config(created, source, folder, max_iters)
    settings.update(student=TITLES[labels.kind][0], teacher=TITLES[labels.kind][1])
    student, teacher = NETWORKS[labels.kind]
    about = 'The teacher, which is trained first.'
    _render('model.py', folder / 'teacher.py', settings, base=teacher, small_channels=[24, 48, 120], comment=about)
    about = 'The student, without its teacher.'
    _render('model.py', folder / 'student.py', settings, base=student, small_channels=[24, 40, 112], comment=about)
    _render('student_kd.py', folder / 'student_kd.py', settings)
    _render('README.md', folder / 'README.md', settings)


def write_data_config(created, source: Path, folder: Path, max_iters: int | None) -> dict[str, Any]:
    """Writes data.py alone; arguments as of :func:`write_configs`. Returns the settings that it was made with."""
    labels = created.labels
    settings = settings_of(labels, created.splits, max_iters)
    settings.update(images=f'{source}/', folder=source.name, title=created.folder.name, summary=created.summary())
    data = 'data_semantic.py' if labels.kind == 'semantic' else 'data_detection.py'
    _render(data, folder / 'data.py', settings)
    return settings


def settings_of(labels: Labels, splits: dict[str, list[Image]], max_iters: int | None = None) -> dict[str, Any]:
    """What the templates are filled with.

    The image size is the median one, its longer side at most 800; the length of training fifty times the images,
    between 500 and 20,000 iterations; with small objects the pyramid begins at stride 4.
    """
    images = [image for part in splits.values() for image in part]
    width, height = np.median([image.size for image in images], axis=0)
    factor = min(LONGEST_SIDE / max(width, height), 1.0)
    sides = [factor * item.area**0.5 for image in images for item in image.objects]
    most = max((len(image.objects) for image in images), default=0)
    iters = max_iters or int(np.clip(EPOCHS * len(splits['train']) / BATCH_SIZE, MIN_ITERS, MAX_ITERS))
    interval = max(iters // 5, 1)
    return dict(
        classes=tuple(map(str, labels.classes)),
        palette=instance_colours(len(labels.classes)).tolist(),
        scale=(round(width * factor), round(height * factor)),
        batch_size=BATCH_SIZE,
        max_iters=iters,
        epochs=max(round(iters * BATCH_SIZE / len(splits['train'])), 1),
        warmup=min(100, max(iters // 10, 1)),
        interval=interval,
        log_interval=max(min(50, iters // 10), 1),
        workers=2 if len(images) > 16 else 0,
        masks=labels.kind == 'instances',
        semantic=labels.kind == 'semantic',
        small=bool(sides) and float(np.median(sides)) < SMALL,
        metric=['bbox', 'segm'] if labels.kind == 'instances' else 'bbox',
        most=int(np.ceil(max(100, 1.25 * most) / 100) * 100),
        crowded=most > 80,
        test='test' in splits,
    )


def _render(template: str, path: Path, settings: dict[str, Any], **more: Any) -> None:
    # mmengine's configs have {{ }} of their own
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / 'templates'),
        block_start_string='<%',
        block_end_string='%>',
        variable_start_string='<<',
        variable_end_string='>>',
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(repr=repr, pretty=lambda value: pprint.pformat(value, width=110))
    path.write_text(environment.get_template(f'{template}.jinja').render(**settings, **more))
