"""A checkpoint with code in it, at every place where a file can be named: the code does not run, one line says why."""

import pytest
import torch
from helpers.foreign_files import save_malicious, served
from mmengine.config import ConfigDict

from mmkd.utils.cli import UserError

CONFIG = """
_base_ = {base!r}
model = dict({model})
"""
CONVERTERS = {
    'centermask2': 'mmkd::centermask/centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py',
    'centermask_v1': 'mmkd::centermask/centermask1_v39_fpn_ms-3x_coco.py',
    'deeplab_xception': 'mmkd::deeplabv3plus_kd/deeplabv3plus_r18_120e_voc2012-513x513.py',
    'espnet': 'mmkd::espnet/espnet-c_40k_camvid-480x360.py',
    'mobilenetv2_torchvision': 'mmkd::vnl/vnl_mobilenetv2_60k_nyu-385x385.py',
    'skd_pspnet': 'mmkd::pspnet/pspnet_r18_40k_camvid-480x360.py',
    'vovnet_timm': 'mmkd::centermask/centermask-lite_v19-dw_fpn_ms-4x_coco.py',
}


@pytest.fixture(params=['local', 'http'])
def malicious(request, tmp_path, monkeypatch):
    """The address of a malicious file; afterwards it is looked whether its code ran."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'files').mkdir()
    path = save_malicious(tmp_path / 'files/weights.pth', tmp_path / 'ran', {'conv.weight': torch.zeros(1)})
    if request.param == 'http':
        with served(tmp_path / 'files') as (url, _):
            yield f'{url}/weights.pth'
    else:
        yield path
    assert not (tmp_path / 'ran').exists(), 'the code in the file ran'


def refused(done, key, address):
    """Whether a tool ended in one line that names what was given and why not."""
    assert done.code == 2, done.err[-2000:]
    line = done.err.strip().splitlines()[-1]
    assert line.startswith('error: ') and 'could run code' in line and address in line and key in line, line
    assert 'Traceback' not in done.err
    return True


def written(tmp_path, base, model):
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(base=str(base), model=model))
    return path


POINTS = 'mmkd::_quick_/point-centermask_dla46c_nuclei.py'
PRETRAINED = "init_cfg=dict(type='Pretrained', checkpoint={!r})"


@pytest.mark.parametrize(
    'key, options',
    [('load_from', ['--cfg-options', 'load_from={}']), ('--resume', ['--resume', '{}'])],
)
def test_start_of_a_training(key, options, tool, tiny, malicious):
    assert refused(tool('train', tiny, *[option.format(malicious) for option in options]), key, malicious)


def test_weights_of_a_backbone_of_the_host(tool, tiny, malicious, tmp_path):
    pretrained = PRETRAINED.format(malicious).replace('(type', '(_delete_=True, type')  # None in the base
    config = written(tmp_path, tiny, f'backbone=dict({pretrained})')
    assert refused(tool('train', config), 'model.backbone.init_cfg.checkpoint', malicious)


def test_weights_of_a_student(tool, tiny, trained, malicious, tmp_path):
    student = f'student=dict(neck=dict({PRETRAINED.format(malicious)}))'
    config = written(tmp_path, tiny.replace('fcos', 'fcos_kd'), student)
    options = ['--cfg-options', f'model.teacher.ckpt={trained / "iter_2.pth"}']
    assert refused(tool('train', config, *options), 'model.student.neck.init_cfg.checkpoint', malicious)


def test_weights_of_a_teacher(tool, tiny, malicious):
    options = ['--cfg-options', f'model.teacher.ckpt={malicious}']
    assert refused(tool('train', tiny.replace('fcos', 'fcos_kd'), *options), 'teacher.ckpt', malicious)


def test_weights_of_a_teacher_by_its_own_config(tool, tiny, malicious, tmp_path):
    teacher = f'teacher=dict(ckpt=None, {PRETRAINED.format(malicious)})'
    config = written(tmp_path, tiny.replace('fcos', 'fcos_kd'), teacher)
    assert refused(tool('train', config), 'teacher', malicious)


def test_checkpoint_to_be_tested(tool, tiny, malicious):
    assert refused(tool('test', tiny, malicious), 'checkpoint', malicious)


@pytest.mark.parametrize('name', ['compare', 'point_masks'])
def test_checkpoint_to_be_drawn(name, tool, tiny, malicious):
    model = ['--model', 'student', tiny, malicious] if name == 'compare' else [POINTS, malicious, 'image.jpg']
    done = tool(f'visualize/{name}', *model, '--out', 'pictures')
    assert refused(done, 'checkpoint', malicious)


@pytest.mark.parametrize('name', CONVERTERS)
def test_file_to_be_converted(name, tool, malicious, tmp_path):
    done = tool(f'convert/{name}', malicious, tmp_path / 'out.pth', '--config', CONVERTERS[name])
    assert refused(done, 'checkpoint', malicious)
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize(
    'network',
    [
        dict(type='mmdet.ResNet', depth=18),
        dict(type='mmdet.SwinTransformer', depths=(1, 1, 1, 1), embed_dims=12),
        dict(type='mmseg.ResNetV1c', depth=18),
        dict(type='mmseg.MixVisionTransformer'),
        dict(type='mmkd.VoVNet', arch='V-19-slim-eSE'),
    ],
    ids=lambda network: network['type'],
)
def test_every_kind_of_backbone(network, malicious):
    from mmkd import compat
    from mmkd.registry import MODELS
    from mmkd.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    compat.load_checkpoints_safely()
    backbone = MODELS.build(ConfigDict(network, init_cfg=dict(type='Pretrained', checkpoint=malicious)))
    with pytest.raises(UserError, match='could run code'):
        backbone.init_weights()
