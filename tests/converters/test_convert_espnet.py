"""The published ESPNets of structured knowledge distillation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from convert_cases import ROOT, model_of, numbered_tensors

from mmkd.converters import ESPNetFormat, convert_state_dict

CONFIGS = ROOT / 'configs' / 'espnet'
ESP = CONFIGS / 'espnet_40k_camvid-480x360.py'
ESP_C = CONFIGS / 'espnet-c_40k_camvid-480x360.py'
DATA = Path(os.environ.get('TESTS_MMKD_DATA', 'nowhere'))


def norm(name, channels):
    shapes = {f'{name}.{key}': (channels,) for key in ('weight', 'bias', 'running_mean', 'running_var')}
    return shapes | {f'{name}.num_batches_tracked': ()}


def norm_act(name, channels):
    return norm(f'{name}.bn', channels) | {f'{name}.act.weight': (channels,)}


def conv(name, inputs, outputs, size):
    return {f'{name}.conv.weight': (outputs, inputs, size, size)}


def pyramid(name, inputs, outputs, size):
    n = outputs // 5
    shapes = conv(f'{name}.c1', inputs, n, size) | conv(f'{name}.d1', n, outputs - 4 * n, 3)
    for dilation in (2, 4, 8, 16):
        shapes |= conv(f'{name}.d{dilation}', n, n, 3)
    return shapes


def down(name, inputs, outputs):
    return pyramid(name, inputs, outputs, 3) | norm_act(name, outputs)


def block(name, inputs, outputs):
    return pyramid(name, inputs, outputs, 1) | norm_act(f'{name}.bn', outputs)


def encoder():
    shapes = conv('level1', 3, 16, 3) | norm_act('level1', 16) | norm_act('b1', 19) | down('level2_0', 19, 64)
    for i in range(2):
        shapes |= block(f'level2.{i}', 64, 64)
    shapes |= norm_act('b2', 131) | down('level3_0', 131, 128)
    for i in range(8):
        shapes |= block(f'level3.{i}', 128, 128)
    return shapes | norm_act('b3', 256)


def espnet(k=11):
    """Names and shapes of ``checkpoint_Camvid_ESP_*.pth``."""
    shapes = encoder() | conv('classifier_1', 256, k, 1) | conv('level3_C', 131, k, 1) | norm('br', k)
    shapes |= conv('conv', k + 19, k, 3) | norm_act('conv', k) | {'up_l3.0.weight': (k, k, 2, 2)}
    shapes |= norm_act('combine_l2_l3.0', 2 * k) | block('combine_l2_l3.1', 2 * k, k)
    return shapes | {'up_l2.0.weight': (k, k, 2, 2)} | norm_act('up_l2.1', k) | {'classifier.weight': (k, k, 2, 2)}


def espnet_c(k=11):
    """Names and shapes of ``checkpoint_Camvid_esp-c_*.pth``."""
    return encoder() | conv('classifier', 256, k, 1)


def test_the_published_files_have_as_many_tensors():
    assert len(espnet()) == 210
    assert len(espnet_c()) == 170


@pytest.mark.parametrize('prefix', ['', 'module.', 'student.', 'module.student.'])
@pytest.mark.parametrize('config, shapes', [(ESP, espnet()), (ESP_C, espnet_c())], ids=['espnet', 'espnet-c'])
def test_every_tensor_finds_its_place(config, shapes, prefix):
    source = numbered_tensors({f'{prefix}{name}': shape for name, shape in shapes.items()})
    conversion = convert_state_dict(source, model_of(config), ESPNetFormat())
    assert not conversion.unused
    result = conversion.tensors
    assert list(result) == list(model_of(config).state_dict())
    assert sorted(t.flatten()[0].item() for t in result.values()) == list(range(1, len(source) + 1))
    for ours, theirs in {
        'backbone.level3.7.d16.conv.weight': 'level3.7.d16.conv.weight',
        'backbone.b2.act.weight': 'b2.act.weight',
        'backbone.level2.1.bn.bn.running_var': 'level2.1.bn.bn.running_var',
        'decode_head.conv_seg.weight': 'classifier.weight' if config == ESP else 'classifier.conv.weight',
    }.items():
        assert torch.equal(result[ours].flatten()[0], source[f'{prefix}{theirs}'].flatten()[0])


@pytest.mark.parametrize(
    'config, shapes, message',
    [
        (ESP_C, espnet(), r'classifier.weight is \[11, 11, 2, 2\], expected \[11, 256, 1, 1\]'),
        (ESP, espnet_c(), 'tensors that the model needs are missing: decode_head.classifier_1'),
        (ESP, espnet(k=19), 'have another shape: '),
    ],
)
def test_a_file_of_another_network_is_refused(config, shapes, message):
    with pytest.raises(ValueError, match=message):
        convert_state_dict(numbered_tensors(shapes), model_of(config), ESPNetFormat())


def test_the_command_writes_what_loads_strictly(convert, tmp_path):
    torch.save(numbered_tensors({f'module.{k}': v for k, v in espnet().items()}), tmp_path / 'src.pth')
    code, out, err = convert('espnet', tmp_path / 'src.pth', tmp_path / 'out.pth', ESP)
    assert code == 0, err
    assert 'used 210 of 210 tensors' in out
    written = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
    assert list(written) == list(model_of(ESP).state_dict())


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / 'camvid').is_dir(), reason='MMKD_DATA has no camvid')
@pytest.mark.parametrize(
    'name, config, miou',
    [('ESP_base_57.8', ESP, 57.34), ('ESP_SD+KD+CITY_65.1', ESP, 64.95)],
)
def test_published_weights_score_on_camvid_as_the_original_network_does(convert, tmp_path, name, config, miou):
    """The values are those of the authors' network on the same JPEG files (57.83 and 65.13 on the PNG originals)."""
    source = DATA / 'weights' / f'checkpoint_Camvid_{name}.pth'
    code, _, err = convert('espnet', source, tmp_path / 'converted.pth', config)
    assert code == 0, err
    command = [sys.executable, ROOT / 'tools' / 'test.py', config, tmp_path / 'converted.pth']
    command += ['--work-dir', tmp_path / 'run', '--cfg-options', f'data_root={DATA / "camvid"}/']
    subprocess.run([str(part) for part in command], check=True, cwd=tmp_path, capture_output=True, text=True)
    (metrics,) = (tmp_path / 'run').glob('*/*.json')
    assert json.loads(metrics.read_text())['mIoU'] == pytest.approx(miou, abs=0.05)
