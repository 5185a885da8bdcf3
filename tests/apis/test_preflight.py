"""Each mistake that a training config can make about the disk, and the message it gets."""

import copy
import json

import pytest
from mmengine.config import Config

from mmkd.apis.preflight import check_test_config, check_train_config, class_names
from mmkd.utils.errors import UserError

POLYGON = [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]


@pytest.fixture
def data(tmp_path):
    """A data set of one image with one cat, in ``tmp_path``."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / '1.jpg').touch()
    annotation = dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 4, 4], area=8, iscrowd=0, segmentation=POLYGON)
    content = dict(
        images=[dict(id=1, file_name='1.jpg', width=8, height=8)],
        annotations=[annotation],
        categories=[dict(id=1, name='cat')],
    )
    (tmp_path / 'cats.json').write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def cfg(data):
    dataset = dict(
        type='mmdet.CocoDataset',
        data_root=str(data),
        ann_file='cats.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('cat',)),
        pipeline=[dict(type='LoadAnnotations', with_mask=True, poly2mask=False)],
    )
    return Config(
        dict(
            default_scope='mmdet',
            data_root=str(data),
            model=dict(type='X', backbone=dict(num_classes=1000), bbox_head=dict(num_classes=1)),
            train_cfg=dict(max_iters=1),
            val_cfg=dict(),
            train_dataloader=dict(dataset=copy.deepcopy(dataset)),
            val_dataloader=dict(dataset=copy.deepcopy(dataset)),
            test_dataloader=dict(dataset=copy.deepcopy(dataset)),
            val_evaluator=dict(ann_file=f'{data}/cats.json'),
            test_evaluator=dict(ann_file=f'{data}/cats.json'),
        )
    )


def problem(cfg, options, check=check_train_config):
    cfg.merge_from_dict(options)
    with pytest.raises(UserError) as caught:
        check(cfg)
    return str(caught.value)


def test_a_right_config_passes(cfg):
    check_train_config(cfg)
    check_test_config(cfg)


def test_ann_file(cfg, data):
    message = problem(cfg, {'train_dataloader.dataset.ann_file': 'dogs.json'})
    assert message.startswith(f"train_dataloader.dataset.ann_file: '{data}/dogs.json' does not exist")
    assert '--cfg-options train_dataloader.dataset.ann_file=' in message


def test_image_folder(cfg):
    assert problem(cfg, {'train_dataloader.dataset.data_prefix.img': 'imgs/'}).startswith(
        'train_dataloader.dataset.data_prefix.img: '
    )


def test_images_elsewhere(cfg, data):
    (data / 'other').mkdir()
    message = problem(cfg, {'train_dataloader.dataset.data_prefix.img': 'other/'})
    assert "has no '1.jpg', the first image of" in message


def test_a_missing_root_is_one_line(cfg):
    options = {f'{loader}.dataset.data_root': '/nowhere/' for loader in ('train_dataloader', 'val_dataloader')}
    message = problem(cfg, {**options, 'data_root': '/nowhere/'})
    assert message.startswith("data_root: '/nowhere/' does not exist") and '\n' not in message


def test_evaluator(cfg):
    assert problem(cfg, {'val_evaluator.ann_file': '/no.json'}).startswith("val_evaluator.ann_file: '/no.json'")
    assert problem(cfg, {'test_evaluator.ann_file': '/no.json'}, check_test_config).startswith(
        'test_evaluator.ann_file'
    )


def test_a_training_without_validation_is_not_asked_for_its_data(cfg):
    cfg.merge_from_dict({'val_dataloader.dataset.ann_file': 'no.json', 'val_evaluator.ann_file': '/no.json'})
    cfg.val_cfg = None
    check_train_config(cfg)


def test_wrapped_data_sets_are_looked_into(cfg, data):
    inner = cfg.train_dataloader.dataset
    inner.ann_file = 'dogs.json'
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=dict(type='Concat', datasets=[inner]))
    assert problem(cfg, {}).startswith('train_dataloader.dataset.dataset.datasets.0.ann_file: ')


def test_remote_files_are_left_alone(cfg):
    cfg.train_dataloader.dataset.update(data_root='s3://bucket/', metainfo=dict(classes=('cat',)))
    check_train_config(cfg)


def test_number_of_classes(cfg):
    message = problem(cfg, {'model.bbox_head.num_classes': 80})
    assert message.startswith("model.bbox_head.num_classes=80, but train_dataloader.dataset has 1 classes ('cat')")


def test_number_of_classes_of_a_student_is_named_by_its_own_key(cfg):
    student = cfg.model.to_dict()
    student['bbox_head']['num_classes'] = 80
    cfg.model = dict(type='mmkd.DenseDistill', student=student, teacher=dict(bbox_head=dict(num_classes=3)), distill={})
    assert problem(cfg, {}).startswith('model.student.bbox_head.num_classes=80')


def test_classes_default_to_those_of_the_data_set_type(cfg):
    del cfg.train_dataloader.dataset['metainfo']
    assert len(class_names(cfg.train_dataloader.dataset, 'mmdet')) == 80
    assert 'has 80 classes' in problem(cfg, {})


def test_classes_that_the_annotations_do_not_have(cfg):
    message = problem(cfg, {'train_dataloader.dataset.metainfo.classes': ('dog',)})
    assert "'dog' is not a category of" in message and "which has 'cat'" in message


def test_the_forgotten_comma(cfg):
    message = problem(cfg, {'train_dataloader.dataset.metainfo.classes': 'cat'})
    assert "metainfo.classes: 'cat' is a string, a tuple was expected: ('cat',)" in message


def test_run_length_masks_where_polygons_are_wanted(cfg, data):
    content = json.loads((data / 'cats.json').read_text())
    content['annotations'][0]['segmentation'] = dict(size=[8, 8], counts='abc')
    (data / 'cats.json').write_text(json.dumps(content))
    message = problem(cfg, {})
    assert message.startswith('train_dataloader.dataset.pipeline.0.poly2mask=False, but 1 of 1 objects')
    content['annotations'][0]['iscrowd'] = 1  # crowds are run-length coded in COCO, and ignored on purpose
    (data / 'cats.json').write_text(json.dumps(content) + ' ')
    check_train_config(cfg)


@pytest.mark.parametrize(
    'options, key',
    [
        ({'load_from': 'a.pth'}, 'load_from'),
        ({'load_from': 'a.pth', 'resume': True}, '--resume'),
        (
            {'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='a.pth')},
            'model.backbone.init_cfg.checkpoint',
        ),
    ],
)
def test_checkpoints(cfg, options, key):
    assert problem(cfg, options).startswith(f"{key}: checkpoint 'a.pth' is not a file")


def test_teacher_checkpoint(cfg):
    student = cfg.model.to_dict()
    cfg.model = dict(type='mmkd.DenseDistill', student=student, teacher=dict(ckpt='a.pth'), distill={})
    message = problem(cfg, {})
    assert message.startswith("model.teacher.ckpt: checkpoint 'a.pth'") and 'MMKD_PRETRAINED=FOLDER' in message
    cfg.model.teacher.ckpt = 'https://example.org/a.pth'
    check_train_config(cfg)


def test_broken_json(cfg, data):
    (data / 'cats.json').write_text('{"images": [')
    message = problem(cfg, {})
    assert message.startswith(f'train_dataloader.dataset.ann_file: {data}/cats.json: not valid JSON: it ends in the ')
