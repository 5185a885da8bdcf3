"""The data sets of a config: where they stand, what type they are of, which classes they have."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

__all__ = ['DatasetConfig', 'class_names', 'datasets_of', 'is_local', 'step_name']


@dataclass(frozen=True)
class DatasetConfig:
    """A data set inside a loader's config.

    Attributes:
        key: Its dotted key.
        cfg: What stands there; the config itself, not a copy.
        scope: The default scope in which its type is looked up.
        labelled: Whether its labels are looked at; not so within ``mmkd.UnlabelledDataset``.
    """

    key: str
    cfg: dict
    scope: str | None
    labelled: bool

    @property
    def kind(self) -> type | None:
        """The class of the data set, or None where no registry knows it."""
        return _kind(self.cfg, self.scope)

    @property
    def names(self) -> list[str] | None:
        """See :func:`class_names`."""
        return class_names(self.cfg, self.scope)

    @property
    def ann_file(self) -> str | None:
        """The annotation file where it is to be looked for, or None if there is none on this disk."""
        return self.joined(self.cfg.get('ann_file'))

    def joined(self, path) -> str | None:
        """``path`` below the data set's root as mmengine joins it, or None where there is nothing to check here."""
        if not is_local(path):
            return None
        root = self.cfg.get('data_root') or ''
        if os.path.isabs(path) or not root:
            return path
        return os.path.join(root, path) if is_local(root) else None

    def folders(self) -> Iterator[tuple[str, str]]:
        """The names and paths of ``data_prefix``; the name of a bare one is ''."""
        prefixes = self.cfg.get('data_prefix') or {}
        for name, prefix in prefixes.items() if isinstance(prefixes, dict) else [('', prefixes)]:
            folder = self.joined(prefix)
            if folder is not None:
                yield name, folder

    def argument(self, name: str):
        """An argument of the data set, as it is given or by default; None if it has no such argument."""
        if name in self.cfg:
            return self.cfg[name]
        for kind in getattr(self.kind, '__mro__', ()):
            parameter = inspect.signature(kind.__init__).parameters.get(name)
            if parameter is not None and parameter.default is not parameter.empty:
                return parameter.default
        return None


def datasets_of(cfg: Config, loader: str) -> Iterator[DatasetConfig]:
    """The data sets of a loader, inside wrappers such as ``RepeatDataset`` and ``ConcatDataset`` too."""
    scope = cfg.get('default_scope')

    def inside(dataset: dict, key: str, labelled: bool) -> Iterator[DatasetConfig]:
        labelled = labelled and step_name(dataset) != 'UnlabelledDataset'
        if isinstance(dataset.get('dataset'), dict):
            yield from inside(dataset['dataset'], f'{key}.dataset', labelled)
        elif isinstance(dataset.get('datasets'), (list, tuple)):
            for i, part in enumerate(dataset['datasets']):
                yield from inside(part, f'{key}.datasets.{i}', labelled)
        elif dataset:
            yield DatasetConfig(key, dataset, scope, labelled)

    dataset = (cfg.get(loader) or {}).get('dataset')
    if isinstance(dataset, dict):
        yield from inside(dataset, f'{loader}.dataset', labelled=True)


def step_name(cfg: dict) -> str:
    """The name of the class that a config is for, without its scope."""
    kind = cfg.get('type')
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rpartition('.')[2]


def is_local(path) -> bool:
    """Whether something is a path, and one on this disk."""
    return isinstance(path, str) and bool(path) and '://' not in path


def class_names(dataset: dict, default_scope: str | None = None) -> list[str] | None:
    """The class names a data set will have, from its config or from its type; None if they cannot be known."""
    classes = (dataset.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        return Path(classes).read_text().split('\n') if Path(classes).is_file() else None
    if classes is None:
        classes = getattr(_kind(dataset, default_scope), 'METAINFO', {}).get('classes')
    return list(classes) if isinstance(classes, (list, tuple)) else None


def _kind(dataset: dict, default_scope: str | None) -> type | None:
    from mmengine.registry import DATASETS

    kind = dataset.get('type')
    if not isinstance(kind, str):
        return kind
    with DATASETS.switch_scope_and_registry(dataset.get('_scope_') or default_scope) as registry:  # imports the scope
        return registry.get(kind)
