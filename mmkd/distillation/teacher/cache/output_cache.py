"""The teacher's outputs on disk: run once for each view of an image, read ever after."""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor

from ...losses.context import asked_for
from ..normalization import Normalization
from ..precision import DTYPES
from .records import restore_records, take_apart
from .store import Store, digest

__all__ = ['OutputCache']

GB = 1e9


class OutputCache:
    """Keeps what the teacher's taps gave for each image of a batch, and gives it back when the same image comes again.

    An image is known by its pixels as the teacher's forward is given them: after augmentation, normalisation and
    padding. So whatever a pipeline does, what is read is what the teacher would compute; a mirrored view is another
    image. An image only comes again where its augmentation does: with ``views=K`` each image of the data set has
    exactly K views, drawn from its index and the number of the view (:class:`mmkd.datasets.SeededSampler`), and
    from the (K + 1)-th epoch on the teacher does not run.

    The files of a teacher lie in a folder named by its weights, its network, its precision, the taps and the student's
    normalisation; another teacher's are never read.

    Args:
        dir: The folder, which may be shared by runs, processes and teachers.
        views: In how many views each image of the training data comes.
        dtype: In which precision outputs are kept. They are rounded to it in the epochs that compute them, too, so that
            it does not matter for a run what was there before.
        max_gb: More than this (1e9 bytes) must not be needed.
        batch_padding: Whether images may be padded to the largest of their batch. What the teacher sees of one then
            depends on the others, so that it often runs again.

    Raises:
        ValueError: An option has a value that is not known.
    """

    def __init__(
        self, dir: str, views: int = 1, dtype: str = 'float16', max_gb: float = 100.0, batch_padding: bool = False
    ):
        if not isinstance(dir, str) or not dir:
            raise ValueError(f'teacher.cache.dir: the path of a folder was expected, got {dir!r}')
        if isinstance(views, bool) or not isinstance(views, int) or views < 1:
            raise ValueError(f'teacher.cache.views: a number of at least 1 was expected, got {views!r}')
        if not isinstance(dtype, str) or dtype not in DTYPES:
            known = [name for name in DTYPES if name]
            raise ValueError(f'teacher.cache.dtype: one of {known} was expected, got {dtype!r}')
        self.dir = Path(dir)
        self.views = views
        self.dtype = DTYPES[dtype] or torch.float32
        self.max_gb = max_gb
        self.batch_padding = batch_padding
        self.images: int | None = None  # in the data set of the run, where there is one
        self.store: Store | None = None
        self.read, self.computed = 0, 0
        self._warned = False

    @classmethod
    def from_config(cls, config: Mapping) -> OutputCache:
        """Reads ``teacher.cache``.

        Raises:
            ValueError: It is no dict, or a key is unknown or missing.
        """
        options = {key: value for key, value in config.items() if key != '_scope_'} if hasattr(config, 'items') else {}
        try:
            return cls(**options)
        except TypeError:
            known = 'dir, views, dtype, max_gb, batch_padding'
            raise ValueError(f'teacher.cache: a dict of {known} was expected, with dir, got {config!r}') from None

    # ---- before training ---------------------------------------------------------------------------------------------

    def check(self, algorithm) -> None:
        """Looks whether what the losses read of the teacher can be kept.

        Raises:
            ValueError: It cannot; says why.
        """
        teacher, recorders, distiller = algorithm.teacher, algorithm.teacher_recorders, algorithm.distiller
        losses = getattr(distiller, 'distill_losses', {})
        asking = [name for name, loss in losses.items() if 'teacher' in asked_for(loss)]
        augments = getattr(algorithm.data_preprocessor, 'batch_augments', None)
        reason = None
        if not algorithm.knows_what_is_read:
            reason = 'it is not known what a distiller of another library reads'
        elif teacher.mode == 'loss':
            reason = "in mode='loss' what it computes depends on the labels"
        elif not all(recorder.of_module for recorder in recorders.recorders.values()):
            reason = 'Python functions and parameters are recorded, and only outputs and inputs of modules can be kept'
        elif distiller.deliveries.deliveries:
            reason = 'distill_deliveries hand over what only a forward has'
        elif asking:
            reason = f'{distiller.title(asking[0])} runs parts of the teacher itself'
        elif augments:
            reason = f'data_preprocessor.batch_augments ({type(augments[0]).__name__}) mixes the images of a batch'
        if reason:
            raise ValueError(f'teacher.cache: the outputs cannot be kept, {reason}; leave teacher.cache out')

    def open(self, algorithm) -> Store:
        """The store of this teacher with these taps."""
        if self.store is None:
            teacher, model = algorithm.teacher, algorithm.teacher.model
            weights = {k: v for k, v in model.state_dict().items() if k not in teacher.absent}
            recorders = algorithm.teacher_recorders.recorders
            taps = [(name, r.kind, r.source, r.taps) for name, r in sorted(recorders.items())]
            normalization = [Normalization.of(p) for p in (algorithm.data_preprocessor, teacher.data_preprocessor)]
            network = re.sub(r' at 0x[0-9a-f]+', '', f'{teacher.network}{model}')
            identity = digest(
                list(weights.values()),
                *(list(weights), network, teacher.dtype, teacher.normalize and normalization, taps, self.dtype),
            )
            self.about = json.dumps(
                dict(
                    teacher=type(model).__name__,
                    ckpt=teacher.ckpt,
                    taps=[r.source for r in recorders.values()],
                    dtype=str(self.dtype).removeprefix('torch.'),
                    views=self.views,
                )
            )
            self.store = Store(self.dir / identity, identity)
            self.store.refresh()
            print_log(f'Teacher cache {self.store.folder}: {len(self.store)} views of images.', logger='current')
        return self.store

    # ---- training ----------------------------------------------------------------------------------------------------

    def record(self, algorithm, inputs: Tensor, data_samples: Sequence | None, run_teacher: Callable[[], None]) -> None:
        """Has the teacher's recorders hold what it gives for a batch, from the disk where all of it is there.

        Args:
            algorithm: The ``DenseDistill``.
            inputs: The student's batch (N, C, H, W).
            data_samples: Its data samples.
            run_teacher: Runs the teacher on the batch, with the recorders attached.

        Raises:
            ValueError: The outputs cannot be kept, would take too much space, or depend on the other images.
        """
        store = self.open(algorithm)
        shapes = [tuple(getattr(sample, 'img_shape', None) or ()) for sample in data_samples or [None] * len(inputs)]
        if len(set(shapes)) > 1 and not self.batch_padding:
            raise ValueError(
                f'teacher.cache: images of different sizes are in one batch ({shapes[0]}, ...), so each is padded to '
                'the largest and the teacher sees it differently each time. Crop or resize to one size in the '
                'pipeline, or have it run again whenever that happens with teacher.cache.batch_padding=True'
            )
        names = [digest([image], shape) for image, shape in zip(inputs, shapes, strict=True)]
        found = [store.read(name) for name in names]
        missing = [i for i, entry in enumerate(found) if entry is None]
        first = not self.read + self.computed
        self.computed += len(missing)
        self.read += len(names) - len(missing)
        if missing:
            start = time.perf_counter()
            run_teacher()
            seconds = time.perf_counter() - start
            kept, structure = take_apart(algorithm.teacher_recorders, len(names), self.dtype)
            size = store.write({names[i]: kept[i] for i in missing}, structure, self.about)
            if first:
                self._announce(size / len(missing), seconds / len(names), names[missing[0]])
            self._warn_of_strangers(len(missing))
            found = [(kept[i], structure) if entry is None else entry for i, entry in enumerate(found)]
        restore_records(algorithm.teacher_recorders, [tensors for tensors, _ in found], found[0][1], inputs.device)

    def _announce(self, size: float, teacher_seconds: float, image: str) -> None:
        """Says how much space and time it is about, before the first step."""
        start = time.perf_counter()
        self.store.read(image)
        read_seconds = time.perf_counter() - start
        message = f'Teacher cache: {size / 1e6:.2f} MB for a view of an image'
        if self.images is not None:
            needed, free = size * self.images * self.views, shutil.disk_usage(self.store.folder).free + self.store.size
            message += (
                f', {needed / GB:.2f} GB for {self.images} images in {self.views} views (free: {free / GB:.0f} GB). '
                f'A view takes the teacher {1000 * teacher_seconds:.0f} ms, reading it {1000 * read_seconds:.1f} ms: '
                f'from epoch {self.views + 1} on the teacher does not run'
            )
            if needed > min(self.max_gb * GB, free):
                limit = 'teacher.cache.max_gb' if needed > self.max_gb * GB else 'what is free on the disk'
                raise ValueError(f'teacher.cache: more than {limit}. {message}; fewer views or another dir would do')
        print_log(f'{message}.', logger='current')

    def _warn_of_strangers(self, missing: int) -> None:
        """Images that are new after all views were seen never come again."""
        if self.images is None or self._warned:
            return
        if (self.read + self.computed - missing) * get_world_size() > 1.05 * self.images * self.views:
            self._warned = True
            print_log(
                f'Teacher cache: after {self.views} views of each image there are still new ones, so the teacher goes '
                'on running. Something in the pipeline does not depend on the random numbers of the sample alone '
                '(CachedMosaic and others with caches of their own do not), or the run is not seeded by mmkd.',
                logger='current',
                level=logging.WARNING,
            )
