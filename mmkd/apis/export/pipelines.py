"""The test pipeline of a config."""

from __future__ import annotations

from collections.abc import Mapping

from mmengine.config import Config

from mmkd.utils.errors import UserError

__all__ = ['step_name', 'test_dataset', 'test_pipeline']


def step_name(step: Mapping) -> str:
    """The name of a step without its scope."""
    kind = step['type']
    return (kind if isinstance(kind, str) else kind.__name__).split('.')[-1]


def test_dataset(cfg: Config) -> Mapping:
    """The config of the innermost test set: the first, where there are several.

    Raises:
        UserError: There is none.
    """
    node = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset')
    while node and 'pipeline' not in node:
        node = node.get('dataset') or (node.get('datasets') or [None])[0]
    if not node:
        raise UserError('test_dataloader.dataset.pipeline: the config has none, and it says how images are prepared')
    return node


def test_pipeline(cfg: Config) -> list[Mapping]:
    """The steps that the images of the test set go through."""
    return list(test_dataset(cfg)['pipeline'])
