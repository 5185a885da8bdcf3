"""Checkpoints of every bad kind, at every place where a file can be named: one line says what is wrong with which.

Above all code in a file does not run.
"""

import pytest
import torch
from helpers.foreign_files import save_malicious, served
from mmengine.config import ConfigDict

from mmkd.utils.errors import UserError

CONFIG = """
_base_ = {base!r}
model = dict({model})
"""
FORMATS = {
    'centermask2': 'mmkd::centermask/centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py',
    'centermask': 'mmkd::centermask/centermask1_v39_fpn_ms-3x_coco.py',
    'deeplab-xception': 'mmkd::deeplabv3plus/deeplabv3plus_r18_120e_voc2012-513x513.py',
    'espnet': 'mmkd::espnet/espnet-c_40k_camvid-480x360.py',
    'mobilenetv2': 'mmkd::vnl/vnl_mobilenetv2_60k_nyu-385x385.py',
    'skd-pspnet': 'mmkd::pspnet/pspnet_r18_40k_camvid-480x360.py',
    'vovnet-timm': 'mmkd::centermask/centermask-lite_v19-dw_fpn_ms-4x_coco.py',
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


POINTS = 'mmkd::point_centermask/point-centermask_dla34_130e_coco.py'
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


@pytest.mark.parametrize('name', FORMATS)
def test_file_to_be_converted(name, tool, malicious, tmp_path):
    done = tool('convert', malicious, tmp_path / 'out.pth', '--from', name, '--config', FORMATS[name])
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


# ---- other faults ----------------------------------------------------------------------------------------------------


def one_line(done, *parts):
    """Whether a tool ended in one line with all of these in it."""
    assert done.code == 2, done.err[-2000:]
    lines = [line for line in done.err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and 'Traceback' not in done.err, done.err[-2000:]
    for part in parts:
        assert str(part) in lines[0], lines[0]
    return True


@pytest.fixture
def weights(trained):
    return torch.load(trained / 'iter_2.pth', weights_only=False)['state_dict']


def test_a_start_of_another_width_is_refused(tool, tiny, trained):
    options = [f'load_from={trained / "iter_2.pth"}', 'model.backbone.base_channels=8']
    options += ['model.neck.in_channels=[16,32,64]', 'train_cfg.max_iters=1']
    done = tool('train', tiny, '--cfg-options', *options)
    assert one_line(done, 'load_from: ', 'iter_2.pth', 'tensors of the model have another shape', 'expected (')


def test_a_start_with_another_number_of_classes_begins_and_says_so(tool, tiny, weights, tmp_path):
    weights['bbox_head.conv_cls.weight'] = torch.zeros(80, 8, 3, 3)
    weights['bbox_head.conv_cls.bias'] = torch.zeros(80)
    torch.save(weights, tmp_path / 'coco.pth')
    options = [f'load_from={(tmp_path / "coco.pth").as_uri()}', 'train_cfg.max_iters=1']
    done = tool('train', tiny, '--cfg-options', *options)
    assert done.code == 0, done.err[-2000:]
    assert '2 tensors are for another number of classes and stay as they are: bbox_head.conv_cls.weight' in done.out


def test_a_start_from_a_full_distillation_checkpoint_is_refused_in_a_plain_run(tool, tiny, weights, tmp_path):
    torch.save({f'architecture.{key}': value for key, value in weights.items()}, tmp_path / 'kd.pth')
    done = tool('train', tiny, '--cfg-options', f'load_from={tmp_path / "kd.pth"}')
    assert one_line(done, 'load_from: ', 'kd.pth', '_student.pth')


@pytest.mark.parametrize('place', ['test', 'load_from', '--resume', 'teacher.ckpt', 'init_cfg.checkpoint'])
def test_weights_that_are_no_numbers_are_refused(place, tool, tiny, weights, tmp_path):
    weights['neck.lateral_convs.0.conv.weight'][:] = float('nan')
    path = tmp_path / 'nan.pth'
    torch.save(weights, path)
    if place == 'test':
        done = tool('test', tiny, path)
    elif place == '--resume':
        done = tool('train', tiny, '--resume', path)
    elif place == 'teacher.ckpt':
        done = tool('train', tiny.replace('fcos', 'fcos_kd'), '--cfg-options', f'model.teacher.ckpt={path}')
    elif place == 'load_from':
        done = tool('train', tiny, '--cfg-options', f'load_from={path}')
    else:
        config = written(tmp_path, tiny, f'{PRETRAINED.format(str(path))}')
        done = tool('train', config)
    assert one_line(done, 'nan.pth', '1 of its', "NaN or infinity, first 'neck.lateral_convs.0.conv.weight'")
    assert place == 'test' or place in done.err


def test_weights_of_another_architecture_are_refused_for_a_backbone_of_the_host(tool, tiny, tmp_path):
    path = tmp_path / 'other.pth'
    torch.save({'features.0.weight': torch.zeros(4)}, path)
    pretrained = PRETRAINED.format(str(path)).replace('(type', '(_delete_=True, type')
    done = tool('train', written(tmp_path, tiny, f'backbone=dict({pretrained})'))
    assert one_line(done, 'model.backbone.init_cfg.checkpoint: ', 'other.pth', "whose first is 'features.0.weight'")
    torch.save({'conv1.weight': torch.zeros(64, 3, 7, 7), 'layer1.0.conv1.weight': torch.zeros(64, 64, 3, 3)}, path)
    done = tool('train', written(tmp_path, tiny, f'backbone=dict({pretrained})'))
    assert one_line(done, 'model.backbone.init_cfg.checkpoint: ', 'other.pth', '(64, 64, 3, 3), expected (4, 4, 3, 3)')


def test_a_part_that_a_file_does_not_have_is_refused(tool, tiny, weights, tmp_path):
    torch.save(weights, tmp_path / 'a.pth')
    pretrained = PRETRAINED.format(str(tmp_path / 'a.pth')).replace('(type', "(_delete_=True, prefix='body', type")
    done = tool('train', written(tmp_path, tiny, f'backbone=dict({pretrained})'))
    assert one_line(done, 'model.backbone.init_cfg.checkpoint: ', 'none of the')


@pytest.mark.parametrize('place', ['load_from', 'model.teacher.ckpt', 'model.neck.init_cfg.checkpoint'])
def test_a_download_that_fails_names_key_and_url(place, tool, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    config = tiny.replace('fcos', 'fcos_kd') if 'teacher' in place else tiny
    with served(tmp_path) as (url, _):
        options = [f'{place}={url}/no.pth']
        if 'init_cfg' in place:
            config = written(tmp_path, tiny, f'neck=dict({PRETRAINED.format(f"{url}/no.pth")})')
            options = ['train_cfg.max_iters=1']
        done = tool('train', config, '--cfg-options', *options)
    assert one_line(done, place.removeprefix('model.'), f'{url}/no.pth cannot be downloaded: HTTP 404')


def test_the_home_folder_may_be_a_tilde(tool, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'notes.pth').write_text('text')
    for done in (tool('train', tiny, '--cfg-options', 'load_from=~/notes.pth'), tool('test', tiny, '~/notes.pth')):
        assert one_line(done, '~/notes.pth is no PyTorch file')


def test_an_empty_variable_for_the_teacher_is_named(tool, tiny, monkeypatch):
    monkeypatch.setenv('TEACHER_FILE', '')
    assert one_line(tool('train', tiny.replace('fcos', 'fcos_kd')), 'the environment variable TEACHER_FILE is empty')
    monkeypatch.delenv('TEACHER_FILE')
    done = tool('train', tiny.replace('fcos', 'fcos_kd'), '--cfg-options', 'model.teacher.ckpt=')
    assert one_line(done, 'teacher.ckpt', "got '', an empty name")


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'is empty'),
        (b'no weights', 'is no PyTorch file'),
        (b'PK\x03\x04', 'is damaged or cut off'),
        (None, 'could run code'),
        ({'meta': 1}, 'no parameters found'),
        ({'layer.weight': torch.zeros(1)}, 'Is this a checkpoint of the model'),
    ],
    ids=['empty', 'text', 'cut off', 'malicious', 'without weights', 'another network'],
)
@pytest.mark.parametrize('place', ['test', '--resume', 'teacher.ckpt'])
def test_every_bad_file_ends_in_one_line(place, content, message, tool, tiny, tmp_path):
    path = tmp_path / 'bad.pth'
    if content is None:
        save_malicious(path, tmp_path / 'ran')
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(dict(content, optimizer=1) if 'meta' in content else content, path)
    if place == 'test':
        done = tool('test', tiny, path)
    elif place == '--resume':
        done = tool('train', tiny, '--resume', path)
        message = 'weights only' if isinstance(content, dict) and 'meta' not in content else message
    else:
        done = tool('train', tiny.replace('fcos', 'fcos_kd'), '--cfg-options', f'model.teacher.ckpt={path}')
    assert one_line(done, 'bad.pth', message)
    assert not (tmp_path / 'ran').exists() and not (tmp_path / 'work_dirs').exists()
