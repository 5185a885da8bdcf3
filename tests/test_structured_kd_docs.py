"""docs/structured_kd.md: its links lead somewhere, and what it tells to write works."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'structured_kd.md'
TEXT = PAGE.read_text()
HOLISTIC, TEST_SERVER = re.findall(r'```python\n(.*?)```', TEXT, re.S)


@pytest.fixture
def config(tmp_path):
    def read(text):
        (tmp_path / 'config.py').write_text(text)
        return Config.fromfile(tmp_path / 'config.py')

    return read


def test_the_holistic_part_written_out_is_that_of_the_config(config):
    written = config(HOLISTIC)
    shipped = Config.fromfile(ROOT / 'configs/kd/structured_kd/pspnet-r101_pspnet-r18_40k_cityscapes_pi-pa-ho.py')
    assert written.model.type == shipped.model.type
    for key in ('constructor', 'discriminator', 'optimizer', 'type'):
        assert written.optim_wrapper[key] == shipped.optim_wrapper[key]
    defaults = dict(discriminator_steps=1, start_iter=0, align='none')
    shipped.model.holistic.discriminator.pop('preprocess')
    assert written.model.holistic == {**defaults, **shipped.model.holistic}


def test_the_test_server_gets_predictions_of_the_distilled_student(config):
    cfg = config(TEST_SERVER)
    assert cfg.model.type == 'mmkd.AdversarialDistill'
    assert cfg.test_evaluator.format_only and 'iou_metrics' not in cfg.test_evaluator
    assert cfg.test_dataloader.dataset.data_prefix == dict(img_path='leftImg8bit/test')
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == ['LoadImageFromFile', 'PackSegInputs']
    assert 'seg_map_path' in cfg.val_dataloader.dataset.data_prefix
