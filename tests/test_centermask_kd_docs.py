"""What the page on CenterMask distillation says can be done."""

import re
from pathlib import Path

from mmengine.config import Config

import mmkd.distillation.algorithms  # noqa: F401  registers the losses
from mmkd.distillation.recipes.short_form import compile_short_form, parse_short_form
from mmkd.registry import MODELS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'centermask_kd.md'
TEXT = PAGE.read_text()


def test_the_config_of_ones_own_is_read_and_its_losses_are_built(tmp_path):
    (tmp_path / 'mine.py').write_text(re.search(r'```python\n(.*?)```', TEXT, re.S)[1])
    distill = Config.fromfile(tmp_path / 'mine.py').model.distill
    assert set(distill) == {'cls', 'bounded', 'mask', 'features'}
    distiller = MODELS.build(compile_short_form(parse_short_form(distill), {}))
    assert distiller.distill_losses['loss_cls'].options['activation'] == 'sigmoid'
    assert distiller.level_reduction['loss_cls'] == 'mean'
    assert distiller.distill_losses['loss_mask'].options['temperature'] == 2.0
    assert distiller.start_iter == dict(loss_mask=1000)
    assert [part['recorder'] for part in distiller.loss_forward_mappings['loss_features']['levels_S']['more']] == [
        'features/1',
        'features/2',
    ]


def test_losses_in_the_log_are_those_named():
    named = set(re.findall(r'`distill\.(loss_\w+)`', TEXT))
    assert named == {
        'loss_cls',
        'loss_bounded_bbox',
        'loss_bounded_centerness',
        'loss_correlation',
        'loss_mse',
        'loss_mask_mask',
        'loss_mask_iou',
    }
