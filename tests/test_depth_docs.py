"""What the page of depth tells to write."""

import re
from pathlib import Path

from mmengine.config import Config

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'configs/vnl/README.md'


def test_a_camera_of_ones_own_as_written(tmp_path):
    (text,) = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    (tmp_path / 'mine.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'mine.py')
    for loader, folder in ((cfg.train_dataloader, 'train'), (cfg.test_dataloader, 'val')):
        assert loader.dataset.intrinsics == (585.0, 585.0, 320.0, 240.0) and loader.dataset.data_root == 'data/mine/'
        assert loader.dataset.data_prefix == dict(img_path=f'images/{folder}', depth_map_path=f'depth/{folder}')
    assert cfg.test_evaluator.crop_type is None and cfg.test_evaluator.type == 'DepthMetric'
