"""CamVidDataset: which id of a file means which class, and what of it is scored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

import mmkd
from mmkd.registry import DATASETS

CONFIGS = Path(mmkd.__file__).parents[1] / 'configs'
IDS = np.array([[0, 5, 10], [11, 255, 8]], np.uint8)  # a file of ids: 11 in original files, 255 in some copies
ELEVEN = ['sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist']


@pytest.fixture
def root(tmp_path):
    """Three images of 3 x 2 pixels in the folders of the shipped config."""
    root = tmp_path / 'camvid'
    for split in ('train', 'val', 'test'):
        for folder in ('images', 'annotations'):
            (root / folder / split).mkdir(parents=True)
        for name in ('b', 'a', 'c'):
            Image.fromarray(np.full((2, 3, 3), 200, np.uint8)).save(root / f'images/{split}/{name}.jpg')
            Image.fromarray(IDS).save(root / f'annotations/{split}/{name}.png')
    return root


def build(root, **options):
    config = dict(
        type='mmkd.CamVidDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build({**config, **options})


def labels_of(dataset):
    return dataset[0]['data_samples'].gt_sem_seg.data[0].tolist()


def test_unlabelled_pixels_are_ignored_with_eleven_classes(root):
    dataset = build(root)
    assert list(dataset.metainfo['classes']) == ELEVEN
    assert labels_of(dataset) == [[0, 5, 10], [255, 255, 8]]


@pytest.mark.parametrize('options', [dict(num_classes=12), dict(metainfo=dict(classes=[*ELEVEN, 'unlabelled']))])
def test_unlabelled_pixels_are_class_11_with_twelve_classes(root, options):
    dataset = build(root, **options)
    assert dataset.metainfo['classes'][11] == 'unlabelled'
    assert labels_of(dataset) == [[0, 5, 10], [11, 11, 8]]


def test_selected_classes_are_renumbered_with_their_colours(root):
    dataset = build(root, metainfo=dict(classes=['car', 'sky']))
    assert labels_of(dataset) == [[1, 255, 255], [255, 255, 0]]
    assert dataset.metainfo['palette'] == [[64, 0, 128], [128, 128, 128]]


def test_a_given_palette_is_kept(root):
    palette = [[i, i, i] for i in range(12)]
    assert build(root, num_classes=12, metainfo=dict(palette=palette)).metainfo['palette'] == palette
    assert build(root, num_classes=12).metainfo['palette'][3] == [128, 64, 128]


def test_every_image_is_found_in_order_and_the_suffix_can_be_changed(root):
    names = [Path(info['img_path']).name for info in build(root, pipeline=[])]
    assert names == ['a.jpg', 'b.jpg', 'c.jpg']
    prefix = dict(img_path='annotations/train', seg_map_path='annotations/train')
    dataset = build(root, img_suffix='.png', data_prefix=prefix, pipeline=[])
    assert [Path(info['img_path']).name for info in dataset] == ['a.png', 'b.png', 'c.png']


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(num_classes=13), 'num_classes is 13, expected 11 or 12'),
        (dict(metainfo=dict(classes=['car', 'cat'])), "no class 'cat'"),
        (dict(num_classes=12, metainfo=dict(classes=ELEVEN)), 'num_classes=12 and metainfo.classes'),
    ],
)
def test_a_wrong_class_list_is_an_error_that_names_the_key(root, options, message):
    with pytest.raises(ValueError, match=message):
        build(root, **options)


@pytest.mark.parametrize('name, num_classes', [('camvid', 11), ('camvid12', 12)])
def test_the_shipped_config_reads_the_root_from_the_environment(root, monkeypatch, name, num_classes):
    monkeypatch.setenv('MMKD_DATA', str(root.parent))
    cfg = Config.fromfile(CONFIGS / f'_base_/datasets/{name}.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        for key, split in (('train', 'train'), ('val', 'val'), ('test', 'test')):
            dataset = DATASETS.build(cfg[f'{key}_dataloader'].dataset)
            assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == num_classes
            assert len(dataset) == 3
            assert f'/{split}/' in dataset.get_data_info(0)['img_path']


def test_training_scales_run_from_half_to_twice_and_a_bit_the_size():
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/camvid.py')
    scales = [(w / 480, h / 360) for w, h in cfg.train_pipeline[2].scales]
    assert scales == [(pytest.approx(k / 10), pytest.approx(k / 10)) for k in range(5, 22)]


def test_training_images_are_cropped_and_padding_is_ignored(root):
    cfg = Config.fromfile(CONFIGS / '_base_/datasets/camvid.py')
    big = np.zeros((360, 480), np.uint8)
    for name in 'abc':
        Image.fromarray(np.stack([big] * 3, -1)).save(root / f'images/train/{name}.jpg')
        Image.fromarray(big).save(root / f'annotations/train/{name}.png')
    cfg.train_pipeline[2].scales = [(240, 180), (1008, 756)]
    preprocessor = dict(type='SegDataPreProcessor', mean=[9.0] * 3, std=[2.0] * 3, pad_val=0, seg_pad_val=255)
    with DefaultScope.overwrite_default_scope('mmseg'):
        from mmkd.registry import MODELS

        preprocessor = MODELS.build({**preprocessor, 'size': tuple(cfg.crop_size)})
        dataset = build(root, pipeline=cfg.train_pipeline)
        sizes = set()
        for _ in range(12):
            sample = dataset[0]
            batch = preprocessor(dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']]), training=True)
            image, label = batch['inputs'][0], batch['data_samples'][0].gt_sem_seg.data[0]
            assert image.shape[1:] == label.shape == (360, 480)
            sizes.add(tuple(sample['inputs'].shape[1:]))
            padded = label == 255
            assert torch.equal(padded, (image == 0).all(0)), 'padding is 0 after normalisation and is ignored'
    assert sizes == {(180, 240), (360, 480)}
