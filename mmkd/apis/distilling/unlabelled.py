"""Images without labels beside those of a config."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmkd.utils.errors import UserError
from mmkd.utils.files import IMAGE_SUFFIXES

__all__ = ['with_unlabelled']

# of the metainfo of data sets, which images without labels do not have
KEYS_OF_LABELS = ['classes', 'palette', 'label_map', 'reduce_zero_label', 'thing_classes', 'stuff_classes']


def with_unlabelled(cfg: Config, folder: str) -> dict[str, str]:
    """Keys of a config that inherits ``cfg``, with as many images of a folder in each batch as there are with labels.

    Args:
        cfg: The config.
        folder: The images, in it or in folders below.

    Returns:
        For each key its source.

    Raises:
        UserError: The folder has no images, or the config's data cannot be mixed with others.
    """
    root = Path(folder)
    if not root.is_dir() or not any(path.suffix.lower() in IMAGE_SUFFIXES for path in root.rglob('*')):
        raise UserError(f'--unlabelled: {folder!r} is no folder with images (looked for from {Path.cwd()})')
    loader = cfg.train_dataloader
    if not loader.get('batch_size') or not loader.dataset.get('pipeline'):
        raise UserError(
            '--unlabelled: train_dataloader.batch_size and a data set with a pipeline of its own were expected in the '
            "student's config; mix the data sets as docs/detection_and_depth.md shows"
        )
    infinite = 'Infinite' in str((loader.get('sampler') or {}).get('type'))
    number = loader.batch_size
    return dict(
        unlabelled_pipeline=(
            "[\n    dict(type='mmkd.LoadNoLabels') if step['type'] == 'LoadAnnotations' else step\n"
            "    for step in _base_.train_dataloader.dataset.pipeline\n    if step['type'] != 'FilterAnnotations'\n]"
        ),
        train_dataloader=(
            'dict(\n'
            f'    batch_size={2 * number},  # {number} with labels, {number} without\n'
            '    batch_sampler=None,\n'
            f"    sampler=dict(_delete_=True, type='mmkd.FixedRatioSampler', batch_size={2 * number}, "
            f'source_ratio=[1, 1], infinite={infinite}),\n'
            "    dataset=dict(\n        _delete_=True,\n        type='ConcatDataset',\n        datasets=[\n"
            '            {{_base_.train_dataloader.dataset}},\n'
            "            dict(type='mmkd.UnlabelledDataset', dataset=dict(type='mmkd.ImageFolder', "
            f'root={str(root.absolute())!r}, pipeline=unlabelled_pipeline)),\n'
            f'        ],\n        ignore_keys={KEYS_OF_LABELS},\n    ),\n)'
        ),
    )
