"""Which formats there are; converted files say which classes they know, which mmdet would else take for COCO's."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmkd.apis.convert import build_format, convert_file, dataset_meta
from mmkd.converters import FORMATS, Format
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.errors import UserError

ROOT = Path(__file__).parents[2]


class Itself(Format):
    title = 'itself'
    rules = ((r'(.+)', r'\1'),)


@pytest.mark.parametrize(
    ('config', 'number', 'first'),
    [
        ('configs/centermask/centermask-lite_v19_fpn_ms-4x_coco.py', 80, 'person'),
        ('projects/nuclei_example/configs/centermask_v39_nuclei.py', 1, 'nucleus'),
        ('configs/kd/centermask_kd/centermask-v19_centermask-lite-v19_4x_coco_all.py', 80, 'person'),
        ('configs/espnet/espnet_40k_camvid-480x360.py', 11, 'sky'),
    ],
)
def test_classes_and_palette_are_those_of_the_data_set(config, number, first):
    meta = dataset_meta(Config.fromfile(ROOT / config))['dataset_meta']
    assert len(meta['classes']) == number and meta['classes'][0].lower() == first
    assert len(meta['palette']) >= number


def test_a_config_without_data_says_nothing():
    assert dataset_meta(Config(dict(model=dict()))) == {}


@pytest.mark.parametrize('backbone_only', [False, True])
def test_mmdet_names_the_classes_of_a_converted_detector(backbone_only, tmp_path):
    from mmdet.apis import init_detector

    from mmkd.apis.convert import build_on_meta
    from mmkd.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    config = ROOT / 'tests/tools/tiny_fcos.py'
    shapes = {key: value.shape for key, value in build_on_meta(Config.fromfile(config)).state_dict().items()}
    part = 'backbone.' if backbone_only else ''
    torch.save({k: torch.zeros(v) for k, v in shapes.items() if k.startswith(part)}, tmp_path / 'in.pth')
    convert_file(tmp_path / 'in.pth', tmp_path / 'out.pth', Config.fromfile(config), Itself())
    meta = load_checkpoint_file(tmp_path / 'out.pth')['meta']
    assert ('dataset_meta' in meta) is not backbone_only
    if not backbone_only:
        detector = init_detector(str(config), str(tmp_path / 'out.pth'), device='cpu')
        assert detector.dataset_meta['classes'] == ('nucleus',)


def test_the_help_of_the_command_lists_every_format_with_its_options():
    from inspect import signature

    from mmkd.apis.commands import convert

    lines = convert.__doc__.partition('formats, and')[2].partition('example:')[0].splitlines()[1:]
    listed = {line.split()[0]: line for line in lines if line}
    assert set(listed) == set(FORMATS.module_dict)
    for name, kind in FORMATS.module_dict.items():
        options = [] if kind.__init__ is object.__init__ else list(signature(kind).parameters)
        assert set(options) <= set(convert.OPTIONS)
        for option in convert.OPTIONS:
            assert (f'--{option.replace("_", "-")}' in listed[name]) == (option in options), (name, option)


def test_an_unknown_format_is_answered_with_those_there_are():
    with pytest.raises(UserError, match="--from: 'detectron' is no format that is known; expected one of c"):
        build_format('detectron')


def test_an_option_of_another_format_is_refused_with_those_that_it_has():
    with pytest.raises(UserError, match='--plain-norm: --from mobilenetv2 has no such option; those .*: --mean, --std'):
        build_format('mobilenetv2', plain_norm=True)
    with pytest.raises(UserError, match='--mean: --from espnet has no such option; those that it has: none'):
        build_format('espnet', mean=[0.0] * 3)
