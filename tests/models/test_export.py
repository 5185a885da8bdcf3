"""``torch.export`` and ``torch.jit.trace`` of the networks that have no second stage."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
ESPNET = 'espnet/espnet_40k_camvid-480x360.py'
PSPNET = 'pspnet/pspnet_r18_40k_camvid-480x360.py'
POINT = 'point_centermask/point-centermask_dla34_130e_voc.py'


def network_of(name: str, scope: str, **neck) -> torch.nn.Module:
    config = Config.fromfile(CONFIGS / name).model
    config.backbone.init_cfg = None
    config.pop('pretrained', None)
    if neck:
        config.neck.update(neck)
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(config).eval()


def flat(outputs) -> list[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else [x for part in outputs for x in flat(part)]


CASES = [(ESPNET, 'mmseg', {}), (PSPNET, 'mmseg', {}), (POINT, 'mmdet', dict(conv_cfg=None))]


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'scope', 'neck'), CASES, ids=['ESPNet', 'PSPNet', 'PointCenterMask'])
def test_exported_network_equals_the_eager_one(name, scope, neck):
    model = network_of(name, scope, **neck)
    example, other = torch.randn(2, 1, 3, 64, 64)
    with torch.no_grad():
        exported = torch.export.export(model, (example,)).module()
        for ours, expected in zip(flat(exported(other)), flat(model(other)), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize(('name', 'scope'), [(ESPNET, 'mmseg'), (POINT, 'mmdet')], ids=['ESPNet', 'PointCenterMask'])
def test_traced_network_equals_the_eager_one(name, scope):
    model = network_of(name, scope)
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.randn(1, 3, 64, 64), check_trace=False)
        other = torch.randn(1, 3, 96, 64)
        for ours, expected in zip(flat(traced(other)), flat(model(other)), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-3)


def test_export_of_deformable_layers_is_refused_in_one_sentence():
    model = network_of(POINT, 'mmdet')
    with pytest.raises(
        NotImplementedError, match=r'torch\.export cannot follow deformable convolutions of mmcv: build'
    ):
        torch.export.export(model, (torch.randn(1, 3, 64, 64),))
