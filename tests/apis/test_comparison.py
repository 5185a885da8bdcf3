"""``mmkd compare``: rows, agreement, layers, classes, and the page of it all."""

import argparse
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.html import check_page
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmkd.apis.commands import compare as command
from mmkd.apis.comparison import compare
from mmkd.apis.errors import UserError
from mmkd.registry import MODELS
from mmkd.visualization.models import ComparedModel

ROOT = Path(__file__).parents[2]


def options(out, *more):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(['--model', 'x', 'y', 'z', '--out', str(out), *more])


def saved(cfg, path, change=lambda model: None):
    """A checkpoint of a model that begins at random; ``change`` sets its weights."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        change(model)
        torch.save(model.state_dict(), path)
    return str(path)


def sees(label):
    """Makes a segmentor see one class everywhere."""

    def change(model):
        torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
        model.decode_head.conv_seg.bias.data = torch.eye(3)[label]

    return change


@pytest.fixture
def halves(tmp_path):
    """Two images whose left half is of class a and whose right half is of class b; c does not occur."""
    for part in ('images', 'labels'):
        (tmp_path / part).mkdir()
    label = np.repeat([[0, 1]], 16, axis=1).repeat(24, axis=0).astype(np.uint8)
    for i in range(2):
        Image.fromarray(np.stack([label * 99 + i] * 3, -1)).save(tmp_path / f'images/{i}.png')
        Image.fromarray(label).save(tmp_path / f'labels/{i}.png')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
    dataset = dict(
        type='BaseSegDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        img_suffix='.png',
        metainfo=dict(classes=('a', 'b', 'c'), palette=[[255, 0, 0], [0, 255, 0], [0, 0, 255]]),
        pipeline=pipeline,
        test_mode=True,
    )
    head = dict(type='FCNHead', in_channels=8, channels=4, num_convs=0, concat_input=False, num_classes=3, in_index=0)
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[0.0] * 3, std=[1.0] * 3),
        backbone=dict(type='ResNet', depth=18, base_channels=8, out_indices=(0, 1, 2, 3)),
        decode_head=dict(head, align_corners=False, loss_decode=dict(type='CrossEntropyLoss')),
        test_cfg=dict(mode='whole'),
    )
    model['decode_head'].update(channels=8)
    return Config(
        dict(
            default_scope='mmseg',
            model=model,
            test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
        )
    )


def test_segmentors_with_agreement_layers_and_gains(halves, tmp_path):
    models = [
        ComparedModel('teacher', halves, saved(halves, tmp_path / 't.pth', sees(0))),
        ComparedModel('alone', halves, saved(halves, tmp_path / 'a.pth', sees(2))),
        ComparedModel('taught', halves, saved(halves, tmp_path / 'b.pth', sees(1))),
    ]
    assert compare(models, options(tmp_path / 'out', '--features', 'backbone', '--level', '1', '--gain')) == 2
    text = check_page(tmp_path / 'out/index.html')
    # alone: all of class c, the teacher all of class a: it alone is right on the left, both wrong apart on the right
    assert '>50.0%</td><td class="number">0.0%</td><td class="number">50.0%</td>' in text
    assert '>50.0%</td><td class="number">50.0%</td><td class="number">0.0%</td>' in text
    # IoU of classes: the teacher has half of a, the taught student half of b
    assert '<td>a</td><td class="number">50.0</td><td class="number">0.0</td><td class="number">0.0</td>' in text
    assert '<td>b</td><td class="number">0.0</td><td class="number">0.0</td><td class="number">50.0</td>' in text
    height, width = cv2.imread(str(tmp_path / 'out/0.png')).shape[:2]
    assert height == pytest.approx(5 * width / 5 * (24 / 32 + 0.45 / 4), rel=0.1)  # five rows of five columns


def test_detectors_have_their_ground_truth(tmp_path):
    cfg = Config.fromfile(ROOT / 'tests/tools/tiny_fcos.py')
    models = [ComparedModel(name, cfg, saved(cfg, tmp_path / 'x.pth')) for name in ('teacher', 'student')]
    drawn = options(tmp_path / 'out', '--number', '1', '--score-thr', '0.0', '--features', 'neck')
    assert compare(models, drawn) == 1
    text = check_page(tmp_path / 'out/index.html')
    # the same weights: nothing is seen by one of them alone
    assert 'alone right' not in text and 'wrong apart' not in text and ('both' in text)


def test_titles_layers_and_teachers_that_are_not_there_are_told(halves, tmp_path):
    model = ComparedModel('a', halves, saved(halves, tmp_path / 'a.pth'))
    with pytest.raises(UserError, match="each needs a title of its own, got 'a', 'a'"):
        compare([model, model], options(tmp_path / 'out'))
    with pytest.raises(ValueError, match="--teacher: 'b' is no title"):
        compare([model], options(tmp_path / 'out', '--teacher', 'b'))
    with pytest.raises(ValueError, match="--features: 'neck' is no layer of EncoderDecoder"):
        compare([model], options(tmp_path / 'out', '--features', 'neck'))
    assert not (tmp_path / 'out').exists()
