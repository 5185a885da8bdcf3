"""A data set whose labels are not looked at, for distillation on images that nobody has labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.logging import MessageHub

from mmkd.registry import DATASETS

__all__ = ['UnlabelledDataset']

# mmkd.distillation looks for it in the metainfo of the data samples, and in the message hub of the run.
UNLABELLED = 'unlabelled'


@DATASETS.register_module()
class UnlabelledDataset:
    """Marks the samples of another data set as unlabelled, and takes away what labels they have.

    ``DenseDistill`` then computes the distillation losses of them and nothing else. (That is more than having no
    objects or no labelled pixels: an image without objects teaches a detector that there are none.) For batches of both
    kinds, in a ratio of one's choice, and of the same kinds on all processes (see :class:`FixedRatioSampler`)::

        train_dataloader = dict(
            batch_size=8,
            sampler=dict(type='mmkd.FixedRatioSampler', batch_size=8, source_ratio=[1, 1], infinite=True),
            dataset=dict(type='ConcatDataset', datasets=[
                dict(type='CamVidDataset', ...),
                dict(type='mmkd.UnlabelledDataset', dataset=dict(type='CamVidDataset', ...))]))

    The pipeline of the inner data set needs no step that loads annotations.

    Args:
        dataset: The data set, or its config. Its samples are packed: a dict with ``inputs`` and ``data_samples``.
    """

    def __init__(self, dataset: Any):
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, Mapping) else dataset
        # every process builds the data set, so all of them know that the kinds in their batches are to be compared
        MessageHub.get_current_instance().update_info(UNLABELLED, True, resumed=False)

    @property
    def metainfo(self) -> dict:
        """That of the inner data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Reads the inner data set, if it has not been read yet."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """What the inner data set knows of an image."""
        return self.dataset.get_data_info(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        """A sample with nothing in it that a loss could learn from but its image.

        Raises:
            ValueError: The pipeline does not end with a step that packs.
        """
        item = self.dataset[idx]
        sample = item.get('data_samples') if isinstance(item, Mapping) else None
        if not hasattr(sample, 'set_metainfo'):
            raise ValueError('UnlabelledDataset: dataset.pipeline: a last step that packs the sample was expected')
        for key in sample.keys():  # noqa: SIM118  not those of the metainfo
            delattr(sample, key)
        sample.set_metainfo({UNLABELLED: True})
        return item
