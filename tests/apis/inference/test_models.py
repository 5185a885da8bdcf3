"""One model, opened from each kind of file, predicts the same; the hosts' own inferencers open it as well."""

import cv2
import numpy as np
import pytest
import torch
from helpers.tiny_center_mask import tiny_config
from mmengine.config import Config

from mmkd.apis.inference.models import config_and_checkpoint, open_model
from mmkd.utils.errors import UserError

IMAGE_SIZE = (96, 128, 3)


def detector_config() -> Config:
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(128, 96), keep_ratio=True),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
    ]
    dataset = dict(type='CocoDataset', metainfo=dict(classes=('a', 'b', 'c')), test_mode=True, pipeline=pipeline)
    return Config(
        dict(
            default_scope='mmdet',
            model=tiny_config(),
            test_dataloader=dict(batch_size=1, dataset=dataset),
            test_evaluator=dict(type='CocoMetric'),
            visualizer=dict(type='DetLocalVisualizer', vis_backends=[]),
        )
    )


def distillation_config(student: Config) -> Config:
    cfg = Config(student.to_dict())
    teacher = dict(cfg_path='nowhere.py', ckpt='nowhere.pth')  # not there, and not needed
    loss = dict(type='mmkd.FeatureMSELoss')
    cfg.model = dict(
        type='mmkd.DenseDistill', student=cfg.model, teacher=teacher, distill=dict(fpn=dict(taps='neck', loss=loss))
    )
    return cfg


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The config of a student and of its distillation, a full checkpoint and a student-only file."""
    from mmkd.utils.setup_env import register_all_modules
    from mmkd.visualization.trained import build_network

    register_all_modules(init_default_scope=False)
    folder = tmp_path_factory.mktemp('files')
    cfg = detector_config()
    torch.manual_seed(0)
    network = build_network(cfg)
    for parameter in network.bbox_head.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    state = network.state_dict()
    cfg.dump(folder / 'student.py')
    distillation_config(cfg).dump(folder / 'kd.py')
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=('a', 'b', 'c'), palette=[(1, 2, 3)] * 3))
    torch.save(dict(meta=meta, state_dict=state), folder / 'student.pth')
    full = {f'architecture.{key}': value for key, value in state.items()}
    torch.save(dict(meta=dict(cfg=distillation_config(cfg).pretty_text), state_dict=full), folder / 'full.pth')
    return folder


@pytest.fixture(scope='module')
def image():
    rng = np.random.default_rng(0)
    return cv2.GaussianBlur(rng.integers(0, 256, IMAGE_SIZE, dtype=np.uint8), (0, 0), 3)


def assert_same(found, expected):
    assert len(expected.boxes) > 3
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_array_equal(found.masks, expected.masks)


@pytest.fixture(scope='module')
def expected(files, image):
    return open_model([str(files / 'student.py'), str(files / 'student.pth')]).predict(image, 'bgr')


@pytest.mark.parametrize(
    'names',
    [('student.pth',), ('full.pth',), ('kd.py', 'full.pth'), ('kd.py', 'student.pth'), ('student.py', 'full.pth')],
)
def test_every_file_gives_the_same(names, files, image, expected):
    model = open_model([str(files / name) for name in names])
    assert model.metadata['classes'] == ['a', 'b', 'c']
    assert_same(model.predict(image, 'bgr'), expected)


def test_colours_may_come_in_either_order(files, image, expected):
    model = open_model([str(files / 'student.pth')])
    assert_same(model.predict(np.ascontiguousarray(image[..., ::-1]), 'rgb'), expected)


@pytest.mark.filterwarnings('ignore')
def test_an_exported_file_gives_the_same(files, image, expected, tmp_path):
    pytest.importorskip('onnxruntime')
    from mmkd.apis.export.exporting import ExportOptions, export

    cv2.imwrite(str(tmp_path / 'image.png'), image)
    export(open_model([str(files / 'student.pth')]), tmp_path / 'a.onnx', ExportOptions(images=str(tmp_path)))
    found = open_model([str(tmp_path / 'a.onnx')]).predict(image, 'bgr')
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.01)
    np.testing.assert_array_equal(found.labels, expected.labels)
    with pytest.raises(UserError, match='--cfg-options: .* is as it was exported'):
        open_model([str(tmp_path / 'a.onnx')], cfg_options=dict(data_root='x'))


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('student.py',), 'expected CONFIG CHECKPOINT, a student-only file'),
        (('a.py', 'b.pth', 'c'), 'expected CONFIG CHECKPOINT'),
        (('bare.pth',), 'there is no config in it'),
        (('missing.onnx',), 'is not a file'),
    ],
)
def test_other_files_are_refused(names, message, files):
    torch.save(dict(state_dict={}), files / 'bare.pth')
    with pytest.raises(UserError, match=message):
        open_model([str(files / name) for name in names])


@pytest.mark.parametrize('names', [('kd.py', 'full.pth'), ('kd.py', 'student.pth'), ('student.py', 'student.pth')])
def test_init_detector_of_mmdet_opens_them(names, files, image, expected):
    from mmdet.apis import inference_detector, init_detector

    model = init_detector(*(str(files / name) for name in names), device='cpu')
    found = inference_detector(model, image).pred_instances
    np.testing.assert_allclose(found.bboxes.numpy(), expected.boxes, atol=1e-3)
    np.testing.assert_array_equal(found.labels.numpy(), expected.labels)
    assert model.dataset_meta['classes']


@pytest.mark.parametrize('names', [('kd.py', 'full.pth'), (None, 'student.pth')])
def test_the_inferencer_of_mmdet_opens_them(names, files, image, expected):
    from mmdet.apis import DetInferencer

    config, checkpoint = names
    inferencer = DetInferencer(
        config and str(files / config), str(files / checkpoint), device='cpu', show_progress=False
    )
    (found,) = inferencer(image, return_datasamples=True)['predictions']
    np.testing.assert_allclose(found.pred_instances.bboxes.numpy(), expected.boxes, atol=1e-3)


def test_config_and_checkpoint_are_told_apart(files):
    cfg, checkpoint = config_and_checkpoint([str(files / 'full.pth')])
    assert cfg.model.type == 'mmkd.DenseDistill'
    assert checkpoint == str(files / 'full.pth')
