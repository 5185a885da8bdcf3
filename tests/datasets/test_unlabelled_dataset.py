"""Data sets without labels, and batches of both kinds."""

import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.registry import DATA_SAMPLERS
from mmengine.structures import BaseDataElement, PixelData

import mmkd.datasets  # noqa: F401
from mmkd.datasets import UnlabelledDataset
from mmkd.registry import DATASETS


@DATASETS.register_module()
class NumberedImages(BaseDataset):
    """Images that hold their number, with a label."""

    METAINFO = dict(classes=('a',))

    def __init__(self, start=0, number=6, packed=True):
        self.start, self.number, self.packed = start, number, packed
        super().__init__()

    def load_data_list(self):
        return [dict(value=self.start + i) for i in range(self.number)]

    def __getitem__(self, idx):
        value = self.get_data_info(idx)['value']
        sample = BaseDataElement(metainfo=dict(img_path=f'{value}.jpg'))
        sample.gt_sem_seg = PixelData(data=torch.ones(1, 2, 2))
        image = torch.full((3, 2, 2), float(value))
        return dict(inputs=image, data_samples=sample) if self.packed else dict(img=image)


def test_labels_are_taken_away_and_the_sample_is_marked():
    item = UnlabelledDataset(dict(type='NumberedImages', start=5))[1]
    assert item['inputs'][0, 0, 0] == 6
    sample = item['data_samples']
    assert sample.unlabelled is True and sample.img_path == '6.jpg'
    assert 'gt_sem_seg' not in sample and list(sample.keys()) == []


def test_a_pipeline_that_does_not_pack_is_refused():
    with pytest.raises(ValueError, match='UnlabelledDataset: dataset.pipeline: a last step that packs'):
        UnlabelledDataset(dict(type='NumberedImages', packed=False))[0]


@pytest.mark.parametrize('ratio, unlabelled', [([1, 1], 2), ([1, 3], 3), ([3, 1], 1)])
def test_batches_have_the_ratio_that_is_asked_for(ratio, unlabelled):
    both = ConcatDataset([
        dict(type='mmkd.NumberedImages', number=6),
        dict(type='mmkd.UnlabelledDataset', dataset=dict(type='NumberedImages', start=100, number=5)),
    ])  # fmt: skip
    sampler = DATA_SAMPLERS.build(
        dict(type='mmdet.MultiSourceSampler', dataset=both, batch_size=4, source_ratio=ratio, seed=0)
    )
    order = iter(sampler)
    seen = set()
    for _ in range(12):
        items = [both[next(order)] for _ in range(4)]
        marks = [item['data_samples'].get('unlabelled', False) for item in items]
        assert sum(marks) == unlabelled
        assert marks == [item['inputs'].max() >= 100 for item in items]
        seen |= {int(item['inputs'].max()) for item in items}
    assert seen == {*range(6), *range(100, 105)}


def test_data_of_a_detector_lose_their_boxes():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    class Boxes(NumberedImages):
        def __getitem__(self, idx):
            sample = DetDataSample(gt_instances=InstanceData(bboxes=torch.zeros(1, 4)))
            return dict(inputs=torch.zeros(3, 2, 2), data_samples=sample)

    sample = UnlabelledDataset(Boxes())[0]['data_samples']
    assert 'gt_instances' not in sample and sample.unlabelled
