"""VOC 2012 and SBD to COCO's json, on folders of a few tiny images."""

import json
import runpy
import sys

import numpy as np
import pytest
import scipy.io
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmkd.datasets.converters.voc_sbd import CLASSES, convert, read_sbd, read_voc

SIZE = (12, 16)  # height, width


def write_voc_image(root, name, objects, size=SIZE):
    """Objects are (class, number, y1, y2, x1, x2); a frame of void goes around each."""
    classes, instances = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for label, number, y1, y2, x1, x2 in objects:
        for array in (classes, instances):
            array[max(y1 - 1, 0) : y2 + 1, max(x1 - 1, 0) : x2 + 1] = 255
        classes[y1:y2, x1:x2], instances[y1:y2, x1:x2] = label, number
    for folder, array in (('SegmentationClass', classes), ('SegmentationObject', instances)):
        image = Image.fromarray(array)
        image.putpalette([i // 3 for i in range(768)])
        image.save(root / folder / f'{name}.png')
    write_jpeg(root, name, size)


def write_jpeg(root, name, size=SIZE):
    Image.fromarray(np.full((*size, 3), 128, np.uint8)).save(root / 'JPEGImages' / f'{name}.jpg')


def write_mat(root, name, instances, categories):
    content = np.zeros((1, 1), dtype=[('Segmentation', object), ('Boundaries', object), ('Categories', object)])
    content[0, 0] = (instances, np.zeros((1, 1)), np.array(categories, np.uint8)[:, None])
    scipy.io.savemat(root / 'inst' / f'{name}.mat', dict(GTinst=content))


@pytest.fixture
def folders(tmp_path):
    voc, sbd = tmp_path / 'VOCdevkit' / 'VOC2012', tmp_path / 'benchmark_RELEASE' / 'dataset'
    for folder in ('ImageSets/Segmentation', 'JPEGImages', 'SegmentationClass', 'SegmentationObject'):
        (voc / folder).mkdir(parents=True)
    (sbd / 'inst').mkdir(parents=True)
    # the objects of the first image are numbered 1 and 3
    write_voc_image(voc, '2007_000001', [(15, 1, 1, 5, 2, 6), (20, 3, 7, 11, 8, 15)])
    write_voc_image(voc, '2007_000002', [(1, 1, 3, 9, 3, 9)])
    (voc / 'ImageSets/Segmentation/train.txt').write_text('2007_000001\n')
    (voc / 'ImageSets/Segmentation/val.txt').write_text('2007_000002\n')

    instances = np.zeros(SIZE, np.uint8)
    instances[2:6, 1:5], instances[6:10, 7:15] = 1, 2
    for name in ('2008_000001', '2008_000002', '2007_000001', '2007_000002'):
        write_mat(sbd, name, instances, [7, 12])
    write_jpeg(voc, '2008_000001')
    write_jpeg(voc, '2008_000002')
    (sbd / 'train.txt').write_text('2008_000001\n2007_000002\n')
    (sbd / 'val.txt').write_text('2007_000001\n2008_000002\n')
    return tmp_path, voc, sbd


def boxes(content, image):
    number = next(i['id'] for i in content['images'] if i['file_name'] == f'{image}.jpg')
    return [(a['category_id'], a['bbox']) for a in content['annotations'] if a['image_id'] == number]


def test_voc_and_sbd_become_train_aug_and_val(folders):
    tmp_path, voc, _ = folders
    lines = convert(tmp_path, tmp_path / 'out', tmp_path / 'benchmark_RELEASE')
    train, val = (json.loads((tmp_path / f'out/instances_{split}.json').read_text()) for split in ('train', 'val'))
    # VOC's images are annotated by VOC, and none of its validation images is trained on
    assert [i['file_name'] for i in train['images']] == ['2007_000001.jpg', '2008_000001.jpg', '2008_000002.jpg']
    assert [i['file_name'] for i in val['images']] == ['2007_000002.jpg']
    assert boxes(train, '2007_000001') == [(15, [2, 1, 4, 4]), (20, [8, 7, 7, 4])]
    assert boxes(train, '2008_000002') == [(7, [1, 2, 4, 4]), (12, [7, 6, 8, 4])]
    assert boxes(val, '2007_000002') == [(1, [3, 3, 6, 6])]
    assert lines[0].endswith('3 images, 6 objects') and lines[1].endswith('1 images, 1 objects')
    link = tmp_path / 'out/images/val/2007_000002.jpg'
    assert link.is_symlink() and link.resolve() == (voc / 'JPEGImages/2007_000002.jpg').resolve()
    assert len(list((tmp_path / 'out/images/train').iterdir())) == 3


def test_pycocotools_reads_the_result(folders):
    tmp_path, voc, _ = folders
    convert(voc, tmp_path / 'out', images='copy')
    coco = COCO(str(tmp_path / 'out/instances_train.json'))
    assert tuple(category['name'] for category in coco.loadCats(coco.getCatIds())) == CLASSES
    first, second = coco.loadAnns(coco.getAnnIds())
    mask = np.zeros(SIZE, bool)
    mask[1:5, 2:6] = True
    assert np.array_equal(coco.annToMask(first).astype(bool), mask)
    assert first['area'] == 16 and second['area'] == 28 == coco_mask.area(second['segmentation'])
    assert not (tmp_path / 'out/images/train/2007_000001.jpg').is_symlink()


def test_mmdet_trains_on_the_result(folders, monkeypatch):
    from pathlib import Path

    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from mmkd.registry import DATASETS

    tmp_path, voc, _ = folders
    convert(voc, tmp_path / 'voc_instance')
    monkeypatch.setenv('MMKD_DATA', str(tmp_path))
    config = Path(__file__).parents[2] / 'configs/_base_/datasets/voc_instance_center512.py'
    with DefaultScope.overwrite_default_scope('mmdet'):
        cfg = Config.fromfile(config).train_dataloader.dataset
        cfg.filter_cfg = None  # these images are smaller than 32 pixels
        item = DATASETS.build(cfg)[0]
    assert item['inputs'].shape == (3, 512, 512)
    found = item['data_samples'].gt_instances
    assert found.masks.masks.shape[1:] == (512, 512) and len(found.labels) == len(found.masks) > 0
    assert set(found.labels.tolist()) <= {14, 19}  # person, tvmonitor


# --------------------------------------------------------------------------------------------------------------- errors


def break_size(voc, sbd):
    write_jpeg(voc, '2007_000001', (10, 10))
    return '2007_000001: the annotation is 16 x 12, the image 10 x 10'


def break_class(voc, sbd):
    write_voc_image(voc, '2007_000001', [(21, 1, 1, 5, 2, 6)])
    return '2007_000001: class 21, expected 1 to 20'


def break_two_classes(voc, sbd):
    write_voc_image(voc, '2007_000001', [(3, 1, 1, 5, 2, 6), (4, 1, 7, 9, 8, 9)])
    return r'2007_000001: object 1 of SegmentationObject has the classes \[3, 4\]'


def break_mode(voc, sbd):
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(voc / 'SegmentationObject/2007_000001.png')
    return '2007_000001.png: an image of mode RGB'


def break_png(voc, sbd):
    (voc / 'SegmentationClass/2007_000001.png').write_bytes(b'no image')
    return '2007_000001.png: not an image that can be read'


def break_missing(voc, sbd):
    (voc / 'SegmentationObject/2007_000001.png').unlink()
    return '1 files are missing, first SegmentationObject/2007_000001.png'


def break_list(voc, sbd):
    (voc / 'ImageSets/Segmentation/train.txt').unlink()
    return 'train.txt: no such list of images'


def break_list_twice(voc, sbd):
    (voc / 'ImageSets/Segmentation/val.txt').write_text('2007_000002 2007_000002')
    return 'val.txt: 1 of 2 images are listed twice'


def break_mat(voc, sbd):
    scipy.io.savemat(sbd / 'inst/2008_000001.mat', dict(GTcls=np.zeros((2, 2))))
    return '2008_000001.mat: not a file of SBD with GTinst'


def break_categories(voc, sbd):
    write_mat(sbd, '2008_000001', np.full(SIZE, 2, np.uint8), [7])
    return '2008_000001.mat: 1 categories for instances numbered up to 2'


def break_image(voc, sbd):
    (voc / 'JPEGImages/2008_000002.jpg').unlink()
    return '1 files are missing, first JPEGImages/2008_000002.jpg'


BREAKS = [value for name, value in list(globals().items()) if name.startswith('break_')]


@pytest.mark.parametrize('spoil', BREAKS)
def test_what_is_wrong_is_named_and_nothing_is_written(folders, spoil):
    tmp_path, voc, sbd = folders
    message = spoil(voc, sbd)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        convert(voc, tmp_path / 'out', sbd)
    assert not (tmp_path / 'out').exists()


def test_folders_of_something_else_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder SegmentationObject in it'):
        convert(tmp_path, tmp_path / 'out')


def test_readers_number_objects_without_gaps(folders):
    _, voc, sbd = folders
    (image,) = read_voc(voc, 'train')
    assert image.labels.tolist() == [15, 20] and np.unique(image.instances).tolist() == [0, 1, 2]
    instances = np.zeros(SIZE, np.uint8)
    instances[2:6, 1:5] = 3  # a hidden second object: its category is left out as well
    instances[7:9, 1:5] = 1
    write_mat(sbd, '2008_000001', instances, [7, 9, 12])
    image = next(read_sbd(sbd, voc, 'train'))
    assert image.labels.tolist() == [7, 12] and image.instances[3, 3] == 2


def test_tool_converts_and_says_in_one_line_what_is_wrong(folders, monkeypatch, capsys):
    from pathlib import Path

    tmp_path, voc, _ = folders
    tool = str(Path(__file__).parents[2] / 'tools/dataset/voc_sbd_to_coco.py')
    monkeypatch.setattr(sys, 'argv', [tool, str(voc), str(tmp_path / 'out')])
    runpy.run_path(tool, run_name='__main__')
    assert 'instances_val.json: 1 images, 1 objects' in capsys.readouterr().out
    monkeypatch.setattr(sys, 'argv', [tool, str(tmp_path / 'out'), str(tmp_path / 'more')])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(tool, run_name='__main__')
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.startswith('error: conversion:') and len(error.splitlines()) == 1
