"""VoVNet as the backbone of models of mmdet and mmseg, from their own config vocabulary."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.testing import demo_mm_inputs
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope

import mmkd.registry  # noqa: F401

ROOT = Path(__file__).parents[3]
BACKBONE = dict(arch='V-19-slim-dw-eSE', norm_cfg=dict(type='BN', requires_grad=True), norm_eval=False)


@pytest.mark.parametrize('name', ['VoVNet', 'mmkd.VoVNet'])
def test_segmentor_trains_and_predicts(name):
    norm_cfg = dict(type='BN', requires_grad=True)
    config = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
        backbone=dict(type=name, **BACKBONE),
        decode_head=dict(
            type='FCNHead', in_channels=512, in_index=3, channels=8, num_convs=1, num_classes=4, norm_cfg=norm_cfg
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        from mmseg.registry import MODELS

        model = MODELS.build(config)
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(metainfo=dict(ori_shape=(64, 64), img_shape=(64, 64)))
    sample.gt_sem_seg = PixelData(data=torch.randint(0, 4, (1, 64, 64)))
    inputs = torch.randn(2, 3, 64, 64)
    losses = model(inputs, [sample, sample], mode='loss')
    losses['decode.loss_ce'].backward()
    assert model.backbone.stem.stem_1.conv.weight.grad is not None
    model.eval()
    with torch.no_grad():
        assert model(inputs, mode='tensor').shape == (2, 4, 2, 2)


def test_mask_rcnn_trains_and_predicts():
    with DefaultScope.overwrite_default_scope('mmdet'):
        from mmdet.registry import MODELS
        from mmengine.config import Config

        config = Config.fromfile(ROOT / 'configs/centermask/mask-rcnn_v39-sag-mask_fpn_ms-3x_coco.py').model
        config.backbone.update(arch='V-19-slim-dw-eSE', init_cfg=None)
        config.neck.in_channels = [112, 256, 384, 512]
        config.test_cfg.rpn.nms_pre = config.test_cfg.rpn.max_per_img = 20
        config.train_cfg.rpn_proposal.nms_pre = config.train_cfg.rpn_proposal.max_per_img = 20
        config.train_cfg.rcnn.sampler.num = 16
        config.test_cfg.rcnn.update(score_thr=0.0, max_per_img=4)
        model = MODELS.build(config)
    data = demo_mm_inputs(2, [[3, 96, 128], [3, 64, 64]], num_items=[2, 1], num_classes=80, with_mask=True)
    data = model.data_preprocessor(data, training=True)
    losses = model(**data, mode='loss')
    sum(
        value if isinstance(value, torch.Tensor) else sum(value) for k, value in losses.items() if 'loss' in k
    ).backward()
    assert model.roi_head.mask_head.spatial_attention.conv.weight.grad is not None
    assert model.backbone.stage2.OSA2_1.ese.fc.weight.grad.abs().sum() > 0
    model.eval()
    with torch.no_grad():
        results = model(**data, mode='predict')
    assert all(isinstance(result, DetDataSample) for result in results)
    assert results[0].pred_instances.masks.shape == (4, 96, 128)


def test_root_registry_knows_the_name_too():
    assert ROOT_MODELS.get('VoVNet').__module__ == 'mmkd.models.backbones.vovnet'
