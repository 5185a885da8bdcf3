"""mmkd taps, on configs of mmdet, mmseg and mmkd."""

import json
from functools import partial

import pytest

RETINANET = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
PSPNET = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
CENTERMASK = 'mmkd::centermask/centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py'
KD = 'mmkd::kd/centermask_v19_from_v99.py'


@pytest.fixture
def taps(mmkd_prints):
    """Runs ``mmkd taps``; returns what it printed."""
    return partial(mmkd_prints, 'taps')


def by_name(text):
    return {row['name']: row for row in json.loads(text)['modules']}


def test_retinanet_of_mmdet(taps):
    rows = by_name(taps(RETINANET, '--input', '128x192', '--json'))
    assert rows['neck']['strides'] == [8, 16, 32, 64, 128] and rows['neck']['channels'] == [256] * 5
    assert rows['neck']['calls'] == dict(eval=1, train=1)
    assert rows['bbox_head.retina_cls']['calls'] == dict(eval=5, train=5)
    assert rows['bbox_head.retina_cls']['channels'] == [720] * 5
    assert rows['bbox_head.forward']['shapes']['eval'][0] == [2, 720, 16, 24]
    assert rows['backbone.bn1']['overwritten'] and not rows['backbone']['overwritten']
    assert 'backbone.layer4.1.conv2' in rows and 0 < rows['backbone']['time'] < 1


def test_pspnet_of_mmseg_has_an_auxiliary_head_in_training_only(taps):
    rows = by_name(taps(PSPNET, '--input', '64x128', '--json'))
    assert rows['decode_head.forward']['strides'] == [8] and rows['decode_head.forward']['channels'] == [19]
    assert rows['auxiliary_head.conv_seg']['calls'] == dict(eval=0, train=1)


def test_the_student_of_a_distillation_config_as_a_table(taps):
    lines = taps(KD, '--input', '64x96', '--depth', '1').splitlines()
    assert lines[0].startswith("2 images of 64 x 96; eval: mode='tensor', ") and "train: mode='loss'" in lines[0]
    assert [line.split()[:3] for line in lines[3:7]] == [
        ['backbone', 'VoVNet', '1'],
        ['neck', 'FPN', '1'],
        ['bbox_head', 'CenterMaskFCOSHead', '1'],
        ['roi_head.forward', 'CenterMaskRoIHead', '1,'],
    ]


def test_a_size_that_is_none_is_refused(taps, capsys):
    with pytest.raises(SystemExit) as ended:
        taps(CENTERMASK, '--input', '64,96')
    assert ended.value.code == 2
    assert "argument --input: a height and a width were expected, as 512x512, got '64,96'" in capsys.readouterr().err


def test_without_a_size_it_is_that_of_the_config():
    from mmkd.apis.config import read_config
    from mmkd.apis.taps import input_size

    assert input_size(read_config(PSPNET)) == (512, 1024)
    assert input_size(read_config(RETINANET)) == (512, 512)
