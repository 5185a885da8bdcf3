"""What is read out of a COCO file, at any size and in any order of its parts, and that nothing of it is kept."""

import json
import tracemalloc

import pytest

from mmkd.apis.preflight import coco as coco_module
from mmkd.apis.preflight.coco import CocoSummary, mask_problems, object_problems, object_warnings

POLYGON = [[1, 1, 6, 1, 6, 5]]
RLE = dict(size=[8, 8], counts='abc')
IMAGES = [dict(id=1, file_name='1.jpg', width=8, height=8), dict(id=2, file_name='2.jpg', width=8, height=4)]
CATEGORIES = [dict(id=1, name='cat'), dict(id=2, name='dog')]


def item(number, **changes) -> dict:
    return {
        **dict(id=number, image_id=1, category_id=1, bbox=[1, 1, 5, 4], area=20, iscrowd=0, segmentation=POLYGON),
        **changes,
    }


def summary_of(path, annotations, images=IMAGES, categories=CATEGORIES, first='images', **kwargs) -> CocoSummary:
    parts = dict(images=images, annotations=annotations, categories=categories)
    parts = {first: parts.pop(first), **parts}
    path.write_text(json.dumps(parts))
    return CocoSummary(str(path), **kwargs)


@pytest.mark.parametrize('first', ['images', 'annotations', 'categories'])
def test_counts_do_not_depend_on_the_order_of_the_parts(tmp_path, first):
    annotations = [item(1), item(2, category_id=2, iscrowd=1), item(3, bbox=[9, 9, 1, 1]), item(4, image_id=7)]
    summary = summary_of(tmp_path / 'a.json', annotations, first=first)
    assert (summary.num_images, summary.num_objects, summary.first_image) == (2, 4, '1.jpg')
    assert summary.categories == {1: 'cat', 2: 'dog'}
    assert summary.objects == {
        (1, 'used'): 1,
        (2, 'crowd'): 1,
        (1, 'a box outside of its image'): 1,
        (1, 'an image_id that no image has'): 1,
    }
    assert summary.faults == []


def test_an_object_of_the_second_image_is_compared_with_that_image(tmp_path):
    summary = summary_of(tmp_path / 'a.json', [item(1, image_id=2, bbox=[0, 5, 2, 2])])  # below its 4 rows
    assert summary.objects == {(1, 'a box outside of its image'): 1}


def test_only_the_classes_of_the_data_set_count(tmp_path):
    summary = summary_of(tmp_path / 'a.json', [item(1, category_id=2)])
    assert list(object_problems(summary, None)) == list(object_problems(summary, ['dog'])) == []
    (problem,) = object_problems(summary, ['cat'])
    assert 'none of its 1 objects can be used: 1 have a category that is not among the classes' in problem


def test_images_below_min_size_do_not_count(tmp_path):
    annotations = [item(1), item(2, image_id=2, bbox=[1, 1, 3, 3])]
    summary = summary_of(tmp_path / 'a.json', annotations, min_size=6)
    assert summary.objects == {(1, 'used'): 1, (1, 'an image below filter_cfg.min_size'): 1}
    assert 'all 2 images' in next(object_problems(summary_of(tmp_path / 'b.json', annotations, min_size=9), None))


def test_run_length_masks_are_found_at_any_size_of_the_file(tmp_path, monkeypatch):
    """It was 64 MiB above which nothing was looked into."""
    monkeypatch.setattr('mmkd.apis.preflight.json_stream.CHUNK', 16)
    annotations = [*[item(i) for i in range(500)], item(500, segmentation=RLE)]
    summary = summary_of(tmp_path / 'a.json', annotations)
    (problem,) = mask_problems(summary, ['cat'], 'pipeline.1', keeps_polygons=True)
    assert problem.startswith('pipeline.1.poly2mask=False, but 1 of 501 objects of')
    assert list(mask_problems(summary, ['cat'], 'pipeline.1', keeps_polygons=False)) == []
    assert list(mask_problems(summary, ['dog'], 'pipeline.1', keeps_polygons=True)) == []


def test_masks_of_crowds_may_be_run_length_coded(tmp_path):
    summary = summary_of(tmp_path / 'a.json', [item(1), item(2, iscrowd=1, segmentation=RLE)])
    assert list(mask_problems(summary, None, 'pipeline.1', keeps_polygons=True)) == []
    assert list(object_warnings(summary, None)) == []


def test_the_first_fault_of_a_kind_stands_for_the_others(tmp_path):
    summary = summary_of(tmp_path / 'a.json', [item(i, bbox=None) for i in range(3)] + [item(5, bbox=[1])])
    assert len(summary.faults) == 2
    assert summary.faults[0].endswith("annotation 0 has no 'bbox'; 3 like that")


@pytest.mark.slow
def test_of_a_large_file_little_is_kept_and_less_than_its_size_is_needed(tmp_path):
    polygon = [[round(0.02 * i, 2) for i in range(300)]]
    annotations = [item(i, segmentation=polygon, bbox=[1, 1, 5, 4]) for i in range(5000)]
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(dict(images=IMAGES, annotations=annotations, categories=CATEGORIES)))
    del annotations
    size = path.stat().st_size
    assert size > 8 * 2**20
    tracemalloc.start()
    summary = coco_module.CocoSummary(str(path))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.num_objects == 5000
    assert peak < 0.8 * size, peak  # parsed at once it takes five times its size
    assert kept < 64 * 2**10, kept
