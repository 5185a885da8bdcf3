"""docs/detection_and_depth.md and the pages it leads to: links, lists of configs, and what they tell to write."""

import re
from pathlib import Path

import pytest
from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'detection_and_depth.md'
PAGES = (PAGE, ROOT / 'configs/fcos/README.md', ROOT / 'configs/vnl/README.md')


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page):
    links = [link for link in re.findall(r'\]\(([^)#]+)', page.read_text()) if '://' not in link]
    assert len(links) >= 3
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_every_config_is_on_the_page():
    text = PAGE.read_text()
    names = [path.name for start in ('fcos', 'vnl') for path in ROOT.glob(f'configs/kd/{start}_*.py')]
    names += [path.name for path in ROOT.glob('configs/kd/*_unlabelled.py')]
    assert len(names) >= 6
    assert [name for name in names if f'/{name})' not in text] == []
    for name in re.findall(r'`?configs/_quick_/(\S+?\.py)', text):
        assert (ROOT / 'configs/_quick_' / name).is_file(), name


def test_a_camera_of_ones_own_as_written(tmp_path):
    (text,) = re.findall(r'```python\n(.*?)```', PAGES[2].read_text(), re.S)
    (tmp_path / 'mine.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    for loader, folder in ((cfg.train_dataloader, 'train'), (cfg.test_dataloader, 'val')):
        assert loader.dataset.intrinsics == (585.0, 585.0, 320.0, 240.0) and loader.dataset.data_root == 'data/mine/'
        assert loader.dataset.data_prefix == dict(img_path=f'images/{folder}', depth_map_path=f'depth/{folder}')
    assert cfg.test_evaluator.crop_type is None and cfg.test_evaluator.type == 'DepthMetric'
