"""The caches of teachers' outputs on disk: filling one for a config, and looking after a folder of them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.runner import Runner

from mmkd.distillation.teacher.cache import Store
from mmkd.utils.errors import UserError
from mmkd.utils.unwrap import unwrapped

from . import launch, preflight
from .errors import leaves_nothing_behind, user_errors

__all__ = ['CacheInfo', 'as_dicts', 'as_table', 'build', 'caches_in', 'check', 'info', 'prune']

PARTS = '*.safetensors.part'  # what a process that was killed has left
UNFINISHED = 3600  # seconds after which nobody is still writing it


@dataclass
class CacheInfo:
    """One teacher's cache.

    Attributes:
        name: Of its folder.
        images: Number of views of images in it.
        size: Bytes on disk.
        age: Seconds since it was last written to.
        about: The teacher, its checkpoint, the taps, the precision; as the run said that wrote it.
        damaged: The files in it that are not read, with the reason.
    """

    name: str
    images: int
    size: int
    age: float
    about: dict
    damaged: dict[str, str]


def build(cfg: Config) -> tuple[int, int]:
    """Runs the teacher of a config on all views of all training images, without training.

    Args:
        cfg: A training config whose ``model.teacher`` has a ``cache``, as :func:`mmkd.apis.load_config` gives it.

    Returns:
        The numbers of views that were there, and of those that were added.

    Raises:
        UserError: The config has no such cache, or something in it cannot be.
    """
    if not (cfg.model.get('teacher') or {}).get('cache'):
        raise UserError('model.teacher.cache: the config has none; dict(dir=..., views=...) was expected')
    preflight.check_train_config(cfg)
    launch.prepare_launch(cfg)
    # each image once a view, in any order: which view it is and what is drawn for it depends on its index alone
    cfg.train_dataloader.pop('batch_sampler', None)
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=False, round_up=False)
    cfg.train_dataloader.drop_last = False
    with leaves_nothing_behind(cfg.work_dir):
        with user_errors('building the run', cfg):
            runner = launch.build_runner(cfg)
            launch.prepare_model(runner)
        with user_errors('train_dataloader', cfg):
            loader = Runner.build_dataloader(runner._train_dataloader, runner.seed)
        algorithm = unwrapped(runner.model)
        cache = algorithm.teacher.cache
        cache.images = len(loader.dataset)
        with user_errors('teacher.cache', cfg):
            for view in range(cache.views):
                loader.sampler.set_epoch(view)
                for batch in loader:
                    data = algorithm.data_preprocessor(batch, True)
                    algorithm.run_teacher(data['inputs'], data['data_samples'])
                    algorithm.clear_records()
    return cache.read, cache.computed


def caches_in(folder: str | Path) -> list[Store]:
    """The caches of all teachers in a folder.

    Raises:
        UserError: There is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'{folder} does not exist; the folder of teacher.cache.dir was expected')
    stores = [Store(path) for path in sorted({path.parent for path in folder.glob('*/*.safetensors*')})]
    for store in stores:
        store.refresh()
    return stores


def info(folder: str | Path) -> list[CacheInfo]:
    """What is in a folder."""
    return [_info(store) for store in caches_in(folder)]


def check(folder: str | Path) -> list[CacheInfo]:
    """Reads everything in a folder and compares the checksums."""
    stores = caches_in(folder)
    for store in stores:
        store.check()
    return [_info(store) for store in stores]


@master_only
def prune(folder: str | Path, days: float | None = None) -> tuple[int, int]:
    """Removes what is of no use: damaged files, and half-written ones that nobody is writing any more.

    Args:
        folder: As in ``teacher.cache.dir``.
        days: Also the caches of teachers that nothing was added to for so long.

    Returns:
        The numbers of files and of bytes.
    """
    removed = []
    for store in caches_in(folder):
        store.check()
        files = list(store.folder.glob('*.safetensors'))
        old = days is not None and _info(store).age > 86400 * days
        useless = files if old else list(store.damaged)
        useless += [part for part in store.folder.glob(PARTS) if time.time() - part.stat().st_mtime > UNFINISHED]
        for path in useless:
            removed.append(path.stat().st_size)
            path.unlink()
        if not any(store.folder.iterdir()):
            store.folder.rmdir()
    return len(removed), sum(removed)


def _info(store: Store) -> CacheInfo:
    header = next(store.headers, {})
    newest = max((path.stat().st_mtime for path in store.folder.glob('*.safetensors*')), default=0.0)
    damaged = {path.name: reason for path, reason in store.damaged.items()}
    about = json.loads(header.get('about') or '{}')
    return CacheInfo(store.folder.name, len(store), store.size, time.time() - newest, about, damaged)


def as_table(found: list[CacheInfo]) -> str:
    """The caches, one a paragraph."""
    lines = []
    for one in found:
        about = one.about
        lines += [
            f'{one.name}: {one.images} views of images, {one.size / 1e9:.2f} GB, {one.age / 86400:.1f} days old',
            f'  {about.get("teacher", "?")} {about.get("ckpt") or "without a checkpoint"}; '
            f'{", ".join(about.get("taps", []))}; {about.get("dtype", "?")}',
            *(f'  not read: {name}: {reason}' for name, reason in one.damaged.items()),
        ]
    return '\n'.join(lines) or 'no caches'


def as_dicts(found: list[CacheInfo]) -> list[dict]:
    """The caches in plain containers, for JSON."""
    return [asdict(one) for one in found]
