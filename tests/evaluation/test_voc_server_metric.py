"""Predictions as the evaluation server of VOC wants them."""

import numpy as np
import pytest
import torch
from mmseg.datasets import PascalVOCDataset
from PIL import Image

from mmkd.evaluation import VOCServerMetric, voc_palette


def sample(ids, name='2008_000006', **metainfo):
    """A prediction as the test loop hands it over."""
    ids = torch.as_tensor(ids)
    return dict(
        pred_sem_seg=dict(data=ids[None]),
        gt_sem_seg=dict(data=ids[None]),
        img_path=f'VOC2012/JPEGImages/{name}.jpg',
        **{'ori_shape': tuple(ids.shape), **metainfo},
    )


def metric(tmp_path, **options):
    result = VOCServerMetric(output_dir=str(tmp_path), **options)
    result.dataset_meta = PascalVOCDataset.METAINFO
    return result


def test_palette_is_vocs():
    assert voc_palette()[:21].tolist() == PascalVOCDataset.METAINFO['palette']
    assert voc_palette()[255].tolist() == [224, 224, 192]
    assert len(np.unique(voc_palette(), axis=0)) == 256


def test_ids_and_colours_are_in_the_file_that_the_server_looks_for(tmp_path):
    ids = np.arange(21 * 4).reshape(21, 4) % 21
    server = metric(tmp_path)
    server.process({}, [sample(ids)])
    assert server.evaluate(size=1) == {}
    (path,) = tmp_path.rglob('*.png')
    assert path.relative_to(tmp_path).as_posix() == 'results/VOC2012/Segmentation/comp6_test_cls/2008_000006.png'
    image = Image.open(path)
    assert image.mode == 'P'
    assert (np.array(image) == ids).all()
    colours = np.array(image.convert('RGB'))
    assert (colours == np.array(PascalVOCDataset.METAINFO['palette'])[ids]).all()


def test_other_suite_and_scores(tmp_path):
    server = metric(tmp_path, suite='comp5', format_only=False)
    server.process({}, [sample(np.arange(42).reshape(6, 7) % 21)])
    assert server.evaluate(size=1)['mIoU'] == 100.0
    assert [path.parent.name for path in tmp_path.rglob('*.png')] == ['comp5_test_cls']


def test_a_prediction_of_one_row_keeps_its_shape(tmp_path):
    server = metric(tmp_path)
    server.process({}, [sample(np.zeros((1, 5), int))])
    (path,) = tmp_path.rglob('*.png')
    assert Image.open(path).size == (5, 1)


def test_what_the_server_would_refuse_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"suite: expected one of \('comp5', 'comp6'\), but got 'comp3'"):
        metric(tmp_path, suite='comp3')
    with pytest.raises(ValueError, match=r'prediction of .*2008_000006.jpg is \(3, 4\), the image \(6, 8\)'):
        metric(tmp_path).process({}, [sample(np.zeros((3, 4), int), ori_shape=(6, 8))])
