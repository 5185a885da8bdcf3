"""Annotation files in COCO's format."""

from __future__ import annotations

from .files import annotation, bytes_of, coco, each, popped, removed, text, without
from .row import Row

KEY = r'train_dataloader.dataset.ann_file: .*data/train.json: '
RLE = dict(size=[32, 32], counts=[0, 16, 1008])


def nan(folder) -> None:
    annotation(bbox='BOX')(folder)
    path = folder / 'data/train.json'
    path.write_text(path.read_text().replace('"BOX"', '[NaN, 1, 2, 3]'))


def det(what: str, expected: str, make, code: int = 2) -> Row:
    return Row(what, 'train DET', expected, make, code)


def mask(what: str, expected: str, make, code: int = 2) -> Row:
    return Row(what, 'train MASK', expected, make, code)


COCO = [
    det(
        'no annotation file',
        r"train_dataloader.dataset.ann_file: 'data/train.json' does not exist.*--cfg-options",
        removed('data/train.json'),
    ),
    det('an empty json', KEY + 'it holds nothing, a dict was expected', text('data/train.json', '')),
    det(
        'a json that ends in the middle',
        KEY + r'not valid JSON: it ends in the middle, after \d+ characters',
        text('data/train.json', '{"images": [{"id": 1'),
    ),
    det('a broken json', KEY + r'not valid JSON: .* at character 13', text('data/train.json', '{"images": [{]}')),
    det('a json that is a list', KEY + 'it holds a list, a dict was expected', coco(lambda content: [content])),
    det('a json that is a number', KEY + 'it holds 7, a dict was expected', text('data/train.json', '7')),
    det(
        'a json in another encoding',
        KEY + '.*utf-8',
        bytes_of('data/train.json', '{"images": ["ü"]}'.encode('latin-1')),
    ),
    Row(
        'a folder in place of the json',
        'train DET --cfg-options train_dataloader.dataset.ann_file=train',
        r"train_dataloader.dataset.ann_file: 'data/train' is a folder, a JSON file was expected",
    ),
    det('no images in it', KEY + "it has no 'images'", coco(lambda content: content.pop('images') and None)),
    det('no annotations in it', KEY + "it has no 'annotations'", coco(lambda c: c.pop('annotations') and None)),
    det('no categories in it', KEY + "it has no 'categories'", coco(lambda c: c.pop('categories') and None)),
    det(
        'an empty list of images',
        KEY + 'there are no images in it',
        coco(lambda c: c.update(images=[], annotations=[])),
    ),
    det('an empty list of categories', "'cell' is not a category", coco(lambda c: c.update(categories=[]))),
    det('no objects', KEY + 'there are no objects in it', coco(lambda c: c.update(annotations=[]))),
    det(
        'images that are texts',
        KEY + "'images' was expected to be a list of dicts",
        coco(lambda c: c.update(images=['a'])),
    ),
    det(
        'images that are a dict',
        KEY + "'images' was expected to be a list, but it is a dict",
        coco(lambda c: c.update(images={'1': 'a.png'})),
    ),
    det(
        'the same image id twice',
        KEY + "two images have the id 0, the second is '1.png'",
        coco(lambda c: c['images'][1].update(id=0)),
    ),
    det(
        'the same annotation id twice',
        KEY + 'two annotations have the id 0',
        coco(lambda c: c['annotations'][1].update(id=0)),
    ),
    det(
        'the same category id twice',
        KEY + 'two categories have the id 1',
        coco(lambda c: c['categories'].append(dict(id=1, name='b'))),
    ),
    det('an image without id', KEY + r"the image .*0.png.* has no 'id'", popped('images', 'id')),
    det('an image without file_name', KEY + r"the image .* has no 'file_name'", popped('images', 'file_name')),
    det('an image without width', KEY + r"the image .* has no 'width'", popped('images', 'width')),
    det(
        'an image of no width',
        KEY + r"the image '0.png' is 0 wide and 32 high",
        coco(lambda c: c['images'][0].update(width=0)),
    ),
    det('an annotation without id', KEY + r"annotation .* has no 'id'", without('id')),
    det('an annotation without image_id', KEY + "annotation 0 has no 'image_id'", without('image_id')),
    det('an annotation without category_id', KEY + "annotation 0 has no 'category_id'", without('category_id')),
    det('an annotation without bbox', KEY + "annotation 0 has no 'bbox'", without('bbox')),
    det('an annotation without area', KEY + "annotation 0 has no 'area'", without('area')),
    det('an image_id that is a list', KEY + r'annotation 0: image_id is \[1\]', annotation(image_id=[1])),
    det('a NaN box', KEY + r'annotation 0: bbox is \[nan, 1, 2, 3\], four finite numbers', nan),
    det('a box of three numbers', KEY + r'annotation 0: bbox is \[1, 2, 3\], four finite', annotation(bbox=[1, 2, 3])),
    det('a box of texts', KEY + r"annotation 0: bbox is \['1', 2, 3, 4\]", annotation(bbox=['1', 2, 3, 4])),
    det(
        'all boxes outside',
        KEY + r'none of its 4 objects can be used: 4 have a box outside of its image \(first annotation 0',
        each(bbox=[40, 40, 8, 8]),
    ),
    det(
        'all boxes of no area',
        KEY + 'none of its 4 objects can be used: 4 have a box of no area',
        each(bbox=[4, 4, 0, 8]),
    ),
    det('all boxes with negative sides', KEY + 'none .* 4 have a box of no area', each(bbox=[20, 20, -8, -8])),
    det('all areas zero', KEY + 'none .* 4 have a box of no area', each(area=0)),
    det('all of unknown categories', KEY + 'none .* 4 have a category_id that no category has', each(category_id=9)),
    det('all of unknown images', KEY + 'none .* 4 have an image_id that no image has', each(image_id=77)),
    Row(
        'all images too small',
        'train DET --cfg-options train_dataloader.dataset.filter_cfg.min_size=64',
        KEY + 'all 4 images have a side below filter_cfg.min_size=64',
    ),
    det(
        'a box outside',
        'warning: .*1 of 4 objects are left out: a box outside of its image',
        annotation(bbox=[40, 40, 8, 8]),
        0,
    ),
    det(
        'a box of no area', 'warning: .*1 of 4 objects are left out: a box of no area', annotation(bbox=[4, 4, 0, 8]), 0
    ),
    det('crowds only', r'warning: .*all 4 objects are crowds \(iscrowd=1\)', each(iscrowd=1), 0),
    det(
        "sizes that are not the image's",
        r'train_dataloader.dataset: sample 0, data/train/0.png: the image is 32 wide and 32 high, but '
        'the annotation file says 64 wide and 48 high',
        coco(lambda c: c['images'][0].update(width=64, height=48)),
    ),
    Row(
        'no objects to test on',
        'test DET CKPT',
        'warning: .*there are no objects in it',
        coco(lambda c: c.update(annotations=[]), 'val'),
        0,
    ),
    Row(
        'a broken json to test on',
        'test DET CKPT',
        'test_dataloader.dataset.ann_file: .*val.json: not valid JSON',
        text('data/val.json', '{"images": ['),
    ),
    Row(
        'an annotation file of the evaluator that is not there',
        'test DET CKPT --cfg-options test_evaluator.ann_file=no.json',
        "test_evaluator.ann_file: 'no.json' does not exist",
    ),
    Row(
        'a data root that is not there',
        'train DET --cfg-options data_root=nowhere',
        "data_root: 'nowhere/' does not exist",
    ),
    mask(
        'RLE where polygons are wanted',
        r'train_dataloader.dataset.pipeline.1.poly2mask=False, but 4 of 4 objects',
        each(segmentation=RLE),
    ),
    mask(
        'a polygon of one point',
        r'train.json: 1 of 4 objects have a polygon of fewer than three points \(first annotation 0 of',
        annotation(segmentation=[[4, 4]]),
    ),
    mask(
        'a polygon of two points',
        r'1 of 4 objects have a polygon of fewer than three points',
        annotation(segmentation=[[4, 4, 8, 8]]),
    ),
    mask(
        'a polygon with an odd number of coordinates',
        r'a polygon of fewer than three points',
        annotation(segmentation=[[4, 4, 8, 8, 9, 9, 1]]),
    ),
    mask(
        'a polygon of texts',
        r'a polygon with a coordinate that is no finite number',
        annotation(segmentation=[['a'] * 6]),
    ),
    mask('a mask that is missing', r'1 of 4 objects have no mask \(first annotation 0', without('segmentation')),
    mask('a mask that is a text', r'a mask that is neither polygons nor RLE', annotation(segmentation='mask')),
    mask('a broken RLE', r'a broken RLE mask', annotation(segmentation=dict(counts=7))),
    mask(
        'an RLE of another size',
        r'an RLE mask of size \[8, 8\] where the image has height and width \[32, 32\]',
        annotation(segmentation=dict(size=[8, 8], counts=[0, 64])),
    ),
]
