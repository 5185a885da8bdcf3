"""mmkd distill."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.labelled_folders import FORMATS
from mmengine.config import Config
from PIL import Image

from mmkd.apis.config import read_config
from mmkd.apis.distilling.classes import same_classes, with_classes
from mmkd.apis.distilling.scores import Row, as_table
from mmkd.apis.distilling.unlabelled import with_unlabelled
from mmkd.apis.distilling.weights import measured_weights
from mmkd.apis.distilling.written import Written, source_of
from mmkd.apis.errors import UserError
from mmkd.distillation.teacher.network import build_network
from mmkd.utils.model_config import resolve_network

TINY = str(Path(__file__).parents[1] / 'tools' / 'tiny_fcos.py')


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """A checkpoint of the tiny detector, with its classes."""
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.manual_seed(1)
    model = build_network(resolve_network(dict(cfg_path=TINY), 'teacher'))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=('nucleus',)))), path)
    return str(path)


# ---- what is written -------------------------------------------------------------------------------------------------


def test_the_config_is_read_as_it_was_meant(tmp_path):
    distill = dict(pkd=dict(taps='neck', levels=(0, 1), loss=dict(type='mmkd.PKDLoss', loss_weight=0.5)))
    student = dict(cfg_path='mmdet::a.py', roi_head=dict(bbox_head={'0': dict(num_classes=2)}))
    Path(tmp_path / 'data.py').write_text('max_iters = 3\n')
    written = Written(tmp_path / 'a.py', './data.py', student, dict(cfg_path='b'), distill, ['why'], dict(seed='1'))
    written.write()
    cfg = Config.fromfile(tmp_path / 'a.py')
    assert cfg.max_iters == 3 and cfg.seed == 1 and cfg.model.type == 'mmkd.DenseDistill'
    assert cfg.model.student == student and cfg.model.distill == distill
    assert (tmp_path / 'a.py').read_text().startswith('# why\n_base_ = ')


def test_long_values_are_broken_into_lines():
    text = source_of(dict(a=dict(b='x' * 60, c='y' * 60), d=1))
    assert text == f"dict(\n    a=dict(\n        b='{'x' * 60}',\n        c='{'y' * 60}',\n    ),\n    d=1,\n)"
    assert eval(text) == dict(a=dict(b='x' * 60, c='y' * 60), d=1)


def test_the_table():
    rows = [Row('teacher', 9.0, reason='its classes are others'), Row('student', 4.0, dict(mIoU=50.5))]
    assert as_table(rows).splitlines() == [
        '| model | parameters | mIoU |',
        '| --- | ---: | ---: |',
        '| teacher | 9.00 M | - |',
        '| student | 4.00 M | 50.5 |',
        '',
        'teacher: not tested, its classes are others',
    ]


# ---- classes and data ------------------------------------------------------------------------------------------------


def test_heads_for_the_classes_of_the_data():
    data = Config(dict(classes=('a', 'b'), scale=(64, 48)))
    cascade = read_config('mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py')
    changed = with_classes(cascade, data, 'boxes')
    assert changed == dict(roi_head=dict(bbox_head={str(i): dict(num_classes=2) for i in range(3)}))
    erfnet = read_config('mmseg::erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py')
    changed = with_classes(erfnet, data, 'semantic')
    assert changed['decode_head'] == dict(num_classes=2) and changed['data_preprocessor'] == dict(size=(48, 64))


def test_classes_are_compared_by_name(teacher):
    plain = read_config(TINY)
    assert same_classes(plain, dict(cfg_path=TINY, ckpt=teacher)) is True
    assert same_classes(plain, dict(cfg_path='mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py')) is False
    assert same_classes(plain, dict(source='timm', name='resnet18')) is None


def test_masks_are_learnt_as_a_map_or_as_boxes(tmp_path, mmkd_prints):
    FORMATS['coco'](tmp_path / 'photos', number=6)
    for kind in ('semantic', 'boxes'):
        out = tmp_path / kind
        mmkd_prints('new', str(tmp_path / 'photos'), '--kind', kind, '--out', str(out))
        cfg = Config.fromfile(out / 'data.py')
        if kind == 'semantic':
            values = {int(v) for path in out.rglob('labels/**/*.png') for v in np.unique(Image.open(path))}
            assert cfg.classes[0] == 'background' and values <= {0, 1, 2, 255} and {0, 1} <= values
        else:
            content = json.loads((out / 'data/instances_train.json').read_text())
            assert content['annotations'] and not any('segmentation' in item for item in content['annotations'])


def test_unlabelled_images_need_a_folder_with_images(tmp_path):
    with pytest.raises(UserError, match='--unlabelled: .* is no folder with images'):
        with_unlabelled(read_config(TINY), str(tmp_path))


# ---- the whole -------------------------------------------------------------------------------------------------------

SHORT = ('train_cfg.max_iters=2', 'train_cfg.val_interval=2')


@pytest.mark.slow
def test_a_line_distils_tests_and_compares(teacher, tmp_path, mmkd_prints):
    options = ('--teacher-ckpt', teacher, '--work-dir', str(tmp_path / 'run'), '--compare', '--cfg-options', *SHORT)
    printed = mmkd_prints('distill', TINY, TINY, *options)
    assert "distill.pkd: PKDLoss on features of 'neck' at strides 8, 16, 32, 64, 128" in printed
    rows = [line.split(' | ')[0] for line in printed.splitlines() if line.startswith('| ')]
    assert rows == ['| model', '| ---', '| teacher', '| student', '| student + KD']
    text = (tmp_path / 'run/distill.py').read_text()
    assert "gradient of the distillation is 0.1 of the task's" in text
    cfg = Config.fromfile(tmp_path / 'run/distill.py')
    assert list(cfg.model.distill) == ['pkd', 'cls'] and cfg.model.distill.pkd.loss.loss_weight != 6.0
    assert (tmp_path / 'run/report.html').is_file() and (tmp_path / 'run/student/iter_2.pth').is_file()
    log = next((tmp_path / 'run/student_kd').glob('*/vis_data/scalars.json')).read_text()
    shares = json.loads(log.splitlines()[0])
    taught = sum(value for name, value in shares.items() if name.startswith('grad_share/distill'))
    assert 0.02 < taught < 0.25  # of a tenth, in the first of the batches that were measured


@pytest.mark.slow
def test_the_weights_follow_the_share_and_what_they_were_does_not_matter(teacher, tmp_path):
    def weights(share, before):
        path = tmp_path / 'config.py'
        loss = dict(type='mmkd.PKDLoss', loss_weight=before)
        Written(path, TINY, None, dict(cfg_path=TINY, ckpt=teacher), dict(pkd=dict(taps='neck', loss=loss))).write()
        cfg = read_config(str(path))
        cfg.randomness = dict(seed=0)
        cfg.work_dir = str(tmp_path)
        return measured_weights(cfg, share)['pkd']

    first = weights(0.1, 1.0)
    assert weights(0.2, 1.0) == pytest.approx(2 * first, rel=0.02)
    assert weights(0.1, 5.0) == pytest.approx(first, rel=0.02)


@pytest.mark.slow
def test_a_segmentor_on_a_folder_with_objects_and_images_without_labels(tmp_path, mmkd_prints):
    FORMATS['coco'](tmp_path / 'photos', number=6)
    FORMATS['coco'](tmp_path / 'more', number=3)
    config = 'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py'
    options = ('--teacher-ckpt', 'random', '--data', str(tmp_path / 'photos'), '--max-iters', '2')
    options += ('--unlabelled', str(tmp_path / 'more'), '--work-dir', str(tmp_path / 'run'))
    options += ('--cfg-options', 'model.student.pretrained=None', 'model.student.backbone.init_cfg=None')
    printed = mmkd_prints('distill', config, config, *options)
    assert 'label maps of' in printed and 'distill.pair: PairWiseLoss' in printed
    assert '| student + KD |' in printed and 'teacher: not tested' in printed


def test_a_teacher_needs_a_checkpoint(mmkd_prints, capsys):
    with pytest.raises(SystemExit):
        mmkd_prints('distill', TINY, TINY)
    assert (
        "--teacher-ckpt: missing; the file of the trained teacher was expected, or 'random'" in capsys.readouterr().err
    )
