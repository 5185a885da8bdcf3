"""Converted files say which classes they know; mmdet would else take them for COCO's."""

import pytest
import torch
from convert_cases import ROOT
from mmengine.config import Config

from mmkd.converters.engine import Family, _dataset_meta, convert_file
from mmkd.utils.checkpoint import load_checkpoint_file

CONFIGS = ROOT / 'configs'


@pytest.mark.parametrize(
    ('config', 'number', 'first'),
    [
        ('centermask/centermask-lite_v19_fpn_ms-4x_coco.py', 80, 'person'),
        ('_quick_/nuclei.py', 1, 'nucleus'),
        ('kd/centermask-lite_v19_from_v19_coco_all.py', 80, 'person'),
        ('espnet/espnet_40k_camvid-480x360.py', 11, 'sky'),
    ],
)
def test_classes_and_palette_are_those_of_the_data_set(config, number, first):
    meta = _dataset_meta(Config.fromfile(CONFIGS / config))['dataset_meta']
    assert len(meta['classes']) == number and meta['classes'][0].lower() == first
    assert len(meta['palette']) >= number


def test_a_config_without_data_says_nothing():
    assert _dataset_meta(Config(dict(model=dict()))) == {}


@pytest.mark.parametrize('backbone_only', [False, True])
def test_mmdet_names_the_classes_of_a_converted_detector(backbone_only, tmp_path):
    from mmdet.apis import init_detector

    from mmkd.converters.engine import build_on_meta
    from mmkd.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = ROOT / 'tests/tools/tiny_fcos.py'
    shapes = {key: value.shape for key, value in build_on_meta(Config.fromfile(config)).state_dict().items()}
    part = 'backbone.' if backbone_only else ''
    torch.save({k: torch.zeros(v) for k, v in shapes.items() if k.startswith(part)}, tmp_path / 'in.pth')
    convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth', config, Family('itself', lambda name, names: name))
    meta = load_checkpoint_file(tmp_path / 'out.pth')['meta']
    assert ('dataset_meta' in meta) is not backbone_only
    if not backbone_only:
        detector = init_detector(str(config), str(tmp_path / 'out.pth'), device='cpu')
        assert detector.dataset_meta['classes'] == ('nucleus',)
