"""``mmkd new``: reading, checking, splitting and converting; what is written, and what is left alone."""

import argparse
import json
import shutil

import cv2
import numpy as np
import pytest
from helpers.labelled_folders import CLASSES, FORMATS, SIZE, box, files_of, labelme, masks, shapes, voc, yolo
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmkd.apis.commands import new
from mmkd.apis.errors import UserError
from mmkd.apis.new_project import create_project

pytest.importorskip('supervision')


def options(folder, *more):
    parser = argparse.ArgumentParser()
    new.add_arguments(parser)
    return parser.parse_args([str(folder), '--out', str(folder.parent / 'project'), *more])


def create(folder, *more):
    return create_project(options(folder, *more))


def found(created):
    """Kinds of problems and the files that have them."""
    return {(problem.check, problem.name) for problem in created.problems}


# ---- reading and converting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name', ['labelme', 'yolo', 'coco', 'voc'])
def test_objects_come_out_as_they_were_drawn(name, tmp_path):
    FORMATS[name](tmp_path / 'photos')
    before = files_of(tmp_path / 'photos')
    created = create(tmp_path / 'photos')
    assert not created.problems
    assert files_of(tmp_path / 'photos') == before
    numbers = set()
    for split, many in dict(train=8, val=2).items():
        truth = COCO(str(tmp_path / f'project/data/instances_{split}.json'))
        assert len(truth.imgs) == many
        names = {number: category['name'] for number, category in truth.cats.items()}
        assert [names[1], names[2]] == list(CLASSES)
        for info in truth.imgs.values():
            assert (info['width'], info['height']) == SIZE and (tmp_path / 'photos' / info['file_name']).is_file()
            number = int(info['file_name'].split('/')[-1].split('.')[0])
            numbers.add(number)
            annotations = truth.loadAnns(truth.getAnnIds(info['id']))
            assert [names[annotation['category_id']] for annotation in annotations] == [n for n, _ in shapes(number)]
            for annotation, (_, corners) in zip(annotations, shapes(number), strict=True):
                x1, y1, x2, y2 = box(corners)
                if name == 'voc':
                    assert annotation['bbox'] == [x1, y1, x2 - x1, y2 - y1] and 'segmentation' not in annotation
                    continue
                # COCO's own rasteriser leaves out the border that the others draw
                drawn = np.zeros(SIZE[::-1], np.uint8)
                cv2.fillPoly(drawn, [corners], 1)
                mask = coco_mask.decode(annotation['segmentation'])
                assert (mask & drawn).sum() / (mask | drawn).sum() > (0.75 if name == 'coco' else 0.999)
                assert annotation['area'] == mask.sum()
    assert numbers == set(range(10))


def test_yolo_boxes_are_boxes(tmp_path):
    yolo(tmp_path / 'photos', polygons=False)
    created = create(tmp_path / 'photos')
    assert created.labels.kind == 'boxes' and not created.problems
    content = json.loads((tmp_path / 'project/data/instances_val.json').read_text())
    x1, y1, x2, y2 = box(shapes(8)[0][1])
    np.testing.assert_allclose(content['annotations'][0]['bbox'], [x1, y1, x2 - x1, y2 - y1], atol=0.01)
    assert 'FCOS' in (tmp_path / 'project/README.md').read_text()


def test_class_maps_are_copied_with_the_name_of_their_image(tmp_path):
    masks(tmp_path / 'photos')
    created = create(tmp_path / 'photos')
    assert created.labels.kind == 'semantic' and tuple(created.labels.classes) == ('ground', 'disc', 'square')
    names = [(tmp_path / f'project/data/{split}.txt').read_text().split() for split in ('train', 'val')]
    assert len(names[0]) == 8 and len(names[1]) == 2
    for name in names[0] + names[1]:
        copied = np.array(Image.open(tmp_path / f'project/data/labels/{name}.png'))
        stem = name.split('/')[-1].split('.')[0]
        assert (copied == np.array(Image.open(tmp_path / f'photos/masks/{stem}.png'))).all()


def test_a_map_of_0_and_255_has_two_classes(tmp_path):
    masks(tmp_path / 'photos', number=4)
    (tmp_path / 'photos/classes.txt').unlink()
    for path in (tmp_path / 'photos/masks').iterdir():
        Image.fromarray(np.where(np.isin(np.array(Image.open(path)), (1, 2)), 255, 0).astype(np.uint8)).save(path)
    created = create(tmp_path / 'photos')
    assert created.labels.classes == ['background', 'object']
    copied = next((tmp_path / 'project/data/labels/images').iterdir())
    assert np.unique(np.array(Image.open(copied))).tolist() == [0, 1]


def test_numbers_of_objects_become_objects(tmp_path):
    masks(tmp_path / 'photos', instances=True)
    created = create(tmp_path / 'photos', '--classes', 'cell')
    assert created.labels.kind == 'instances'
    assert {len(image.objects) for image in created.labels.images} == {3}
    assert {item.name for image in created.labels.images for item in image.objects} == {'cell'}


def test_labelme_joins_the_parts_of_a_group_and_reads_rectangles(tmp_path):
    labelme(tmp_path / 'photos', number=4)
    file = tmp_path / 'photos/0.json'
    content = json.loads(file.read_text())
    content['shapes'] = [
        dict(label='disc', points=[[2, 2], [20, 2], [20, 10]], shape_type='polygon', group_id=1),
        dict(label='disc', points=[[40, 30], [60, 30], [60, 50]], shape_type='polygon', group_id=1),
        dict(label='square', points=[[80, 40], [70, 50]], shape_type='rectangle', group_id=None),
        dict(label='disc', points=[[1, 1]], shape_type='point', group_id=None),
    ]
    file.write_text(json.dumps(content))
    created = create(tmp_path / 'photos')
    (image,) = [image for image in created.labels.images if image.name == '0.png']
    assert [(item.name, item.box) for item in image.objects] == [('disc', (2, 2, 60, 50)), ('square', (70, 40, 80, 50))]
    assert all(item.mask for item in image.objects)
    assert found(created) == {('unreadable', '0.png')}  # the point, which is no object


# ---- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    yolo(tmp_path / 'photos')
    return tmp_path / 'photos'


def append(photos, *lines, image='train/0'):
    file = photos / f'labels/{image}.txt'
    file.write_text(file.read_text() + '\n'.join(lines) + '\n')


SMALL_SQUARE = '0.02 0.02 0.12 0.02 0.12 0.12 0.02 0.12'


@pytest.mark.parametrize(
    'check, line, left',
    [
        ('wrong class', f'7 {SMALL_SQUARE}', 3),
        ('zero area', '1 0.1 0.1 0.1 0.1 0.1 0.1', 3),
        ('out of image', '1 -0.2 0.02 0.08 0.02 0.08 0.1 -0.2 0.1', 4),
        ('no mask', '0 0.1 0.1 0.1 0.1', 3),
        ('unreadable', '0 0.1 nothing', 3),
    ],
)
def test_a_bad_object_is_told_and_left_out_or_cut(check, line, left, photos):
    append(photos, line)
    created = create(photos)
    assert found(created) == {(check, 'images/train/0.jpg')}
    (image,) = [image for image in created.labels.images if image.name.endswith('train/0.jpg')]
    assert len(image.objects) == left
    assert min(value for item in image.objects for value in item.box) >= 0
    page = (photos.parent / 'project/data_report.html').read_text()
    assert 'images/train/0.jpg' in page and 'data:image/' in page


def test_the_same_object_twice_is_one_and_two_classes_on_one_spot_are_told(photos):
    first, second, _ = (photos / 'labels/train/0.txt').read_text().splitlines()
    append(photos, first)
    append(photos, '0' + second[1:])
    created = create(photos)
    assert sorted(problem.check for problem in created.problems) == ['duplicated', 'overlapping']
    (image,) = [image for image in created.labels.images if image.name.endswith('train/0.jpg')]
    assert len(image.objects) == 4


def test_a_picture_of_two_splits_stays_in_training(photos):
    shutil.copy(photos / 'images/train/2.jpg', photos / 'images/val/other.jpg')
    resaved = Image.open(photos / 'images/train/3.jpg').resize((192, 128))
    resaved.save(photos / 'images/val/larger.jpg', quality=70)
    created = create(photos)
    assert {('leak', 'images/val/other.jpg'), ('leak', 'images/val/larger.jpg')} <= found(created)
    names = [image.name for image in created.splits['val']]
    assert names == ['images/val/8.jpg', 'images/val/9.jpg']


def test_broken_images_and_labels_without_one_are_told(photos):
    file = photos / 'images/train/1.jpg'
    file.write_bytes(file.read_bytes()[:600])
    (photos / 'labels/train/ghost.txt').write_text(f'0 {SMALL_SQUARE}\n')
    (photos / 'labels/train/2.txt').unlink()
    assert found(create(photos)) == {
        ('unreadable', 'images/train/1.jpg'),
        ('no image', 'labels/train/ghost.txt'),
        ('empty', 'images/train/2.jpg'),
    }


def test_labels_of_another_size_and_images_without_labels_are_left_out(tmp_path):
    voc(tmp_path / 'photos')
    file = tmp_path / 'photos/Annotations/0.xml'
    file.write_text(file.read_text().replace('<width>96', '<width>192'))
    (tmp_path / 'photos/Annotations/1.xml').unlink()
    created = create(tmp_path / 'photos')
    assert found(created) == {('other size', 'JPEGImages/0.jpg'), ('unlabelled', 'JPEGImages/1.jpg')}
    assert [image.name for image in created.splits['val']] == ['JPEGImages/8.jpg', 'JPEGImages/9.jpg']  # ImageSets
    assert len(created.splits['train']) == 6


def test_a_value_without_a_class_is_ignored_and_told(tmp_path):
    masks(tmp_path / 'photos')
    (tmp_path / 'photos/classes.txt').write_text('ground\ndisc\n')
    created = create(tmp_path / 'photos')
    assert {problem.check for problem in created.problems} == {'wrong class'} and len(created.problems) == 10
    values = {v for path in (tmp_path / 'project/data/labels/images').iterdir() for v in np.unique(Image.open(path))}
    assert values == {0, 1, 255}


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_a_rare_class_is_validated_copies_stay_together_and_a_second_run_is_the_same(tmp_path):
    folder = tmp_path / 'photos'
    labelme(folder, number=20)
    for i in range(16):  # squares in 16, 17, 18, 19 alone
        content = json.loads((folder / f'{i}.json').read_text())
        content['shapes'] = [shape for shape in content['shapes'] if shape['label'] != 'square']
        (folder / f'{i}.json').write_text(json.dumps(content))
    for i in range(4):
        shutil.copy(folder / f'{i}.png', folder / f'copy{i}.png')
        text = (folder / f'{i}.json').read_text().replace(f'{i}.png', f'copy{i}.png')
        (folder / f'copy{i}.json').write_text(text)
    created = create(folder, '--val', '0.25')
    split_of = {image.name: split for split, images in created.splits.items() for image in images}
    assert sum(split_of[f'{i}.png'] == 'val' for i in range(16, 20)) == 1
    assert all(split_of[f'{i}.png'] == split_of[f'copy{i}.png'] for i in range(4))
    assert 4 <= len(created.splits['val']) <= 8
    again = create(folder, '--val', '0.25', '--force')
    assert {image.name for image in again.splits['val']} == {image.name for image in created.splits['val']}


# ---- the project -----------------------------------------------------------------------------------------------------


def test_a_second_run_does_not_overwrite_and_force_keeps_what_was_trained(photos):
    create(photos)
    project = photos.parent / 'project'
    (project / 'student.py').write_text('# mine\n')
    (project / 'work_dirs').mkdir()
    (project / 'work_dirs/iter_2.pth').write_text('trained')
    before = files_of(project)
    with pytest.raises(UserError, match='--out: .*project.* is there already; --force'):
        create(photos)
    assert files_of(project) == before
    (photos / 'images/train/0.jpg').unlink()
    create(photos, '--force')
    after = files_of(project)
    assert after['work_dirs/iter_2.pth'] == b'trained' and after['student.py'] != b'# mine\n'
    assert before.keys() == after.keys()
    assert [path.name for path in photos.parent.iterdir()] == ['photos', 'project'] or len(
        list(photos.parent.iterdir())
    ) == 2


def test_nothing_is_left_where_it_fails(photos, monkeypatch):
    def full(*args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmkd.apis.new_project.project.write_configs', full)
    with pytest.raises(OSError, match='No space'):
        create(photos)
    assert [path.name for path in photos.parent.iterdir()] == ['photos']


@pytest.mark.parametrize(
    'prepare, more, message',
    [
        (lambda folder: None, (), 'holds no images'),
        (lambda folder: Image.new('RGB', (9, 9)).save(folder / 'a.png'), (), 'no labels .*--teacher CONFIG CHECKPOINT'),
        (
            lambda folder: (shutil.rmtree(folder), yolo(folder), labelme(folder, 1)),
            (),
            'several formats: labelme .1 files.*--format',
        ),
        (
            lambda folder: (shutil.rmtree(folder), labelme(folder, 1)),
            (),
            "1 images with labels.*none of them is left for 'val'",
        ),
        (lambda folder: labelme(folder), ('--format', 'voc'), 'read as voc: no image has labels'),
    ],
)
def test_what_cannot_be_used_is_said_in_one_message(prepare, more, message, tmp_path):
    (tmp_path / 'photos').mkdir()
    prepare(tmp_path / 'photos')
    with pytest.raises(UserError, match=message):
        create(tmp_path / 'photos', *more)
    assert not (tmp_path / 'project').exists()


def test_a_project_inside_the_folder_is_refused(photos):
    with pytest.raises(UserError, match='--out: .* is inside the folder of the images'):
        create_project(argparse.Namespace(**{**vars(options(photos)), 'out': str(photos / 'project')}))
    with pytest.raises(UserError, match="folder: .*nowhere' is not a folder"):
        create(photos.parent / 'nowhere')


def test_a_schedule_without_room_for_a_warm_up_is_refused(photos):
    with pytest.raises(UserError, match='--max-iters: 1 was given'):
        create(photos, '--max-iters', '1')
