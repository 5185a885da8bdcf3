"""Models of every kind that can be exported, small, with weights that tell objects apart."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd.apis.config import read_config
from mmkd.registry import MODELS
from mmkd.utils.setup_env import register_all_modules
from mmkd.utils.student import student_of

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / 'tests/data/nuclei/val'

RESNET18 = dict(depth=18, base_channels=16)
FPN18 = dict(in_channels=[16, 32, 64, 128], out_channels=32)
HEAD32 = dict(in_channels=32, feat_channels=32)
SCORES = dict(score_thr=0.3)

# Of layers where 1.4 would make boxes of the size of the image, or of none, and masks that hang on the last digit.
GAINS = dict(offset=0.01, _reg=0.2, fc_mask_iou=0.1, _cls=0.4, conv_logits=0.4)
SHIFTS = {'conv_reg.bias': 1.0, 'conv_logits.bias': 1.0}

# name -> config, overrides of the model, of the test pipeline's scale
KINDS = {
    'ESPNet': ('espnet/espnet_40k_camvid-480x360.py', {}),
    'PSPNet': (
        'pspnet/pspnet_r18_40k_camvid-480x360.py',
        dict(backbone=RESNET18, decode_head=dict(in_channels=128, channels=32)),
    ),
    'DeepLabV3+': ('deeplabv3plus/deeplabv3plus_mobilenetv2_120e_voc2012-513x513.py', {}),
    'FCN': (
        'mmseg::fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py',
        dict(
            backbone=dict(**RESNET18, pretrained=None), pretrained=None, decode_head=dict(in_channels=128, channels=32)
        ),
    ),
    'SegFormer': ('mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', {}),
    'VNL depth': ('vnl/vnl_mobilenetv2_60k_nyu-385x385.py', {}),
    'FCOS': (
        'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
        dict(backbone=RESNET18, neck=FPN18, bbox_head=HEAD32, test_cfg=SCORES),
    ),
    'RetinaNet': (
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        dict(backbone=RESNET18, neck=FPN18, bbox_head=dict(**HEAD32, stacked_convs=2), test_cfg=SCORES),
    ),
    'RTMDet': ('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py', dict(test_cfg=SCORES)),
    'RTMDet-Ins': ('mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py', dict(test_cfg=SCORES)),
    'Mask R-CNN': (
        'mmdet::mask_rcnn/mask-rcnn_r18_fpn_8xb8-amp-lsj-200e_coco.py',
        dict(
            backbone=RESNET18,
            neck=FPN18,
            rpn_head=HEAD32,
            roi_head=dict(
                bbox_roi_extractor=dict(out_channels=32),
                mask_roi_extractor=dict(out_channels=32),
                bbox_head=dict(in_channels=32, fc_out_channels=64),
                mask_head=dict(in_channels=32, conv_out_channels=32),
            ),
            test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100)),
        ),
    ),
    'CenterMask': (
        'centermask/centermask_r50_fpn_ms-3x_coco.py',
        dict(
            backbone=RESNET18,
            neck=dict(in_channels=[32, 64, 128]),
            test_cfg=dict(bbox=SCORES),
        ),
    ),
    'CenterMask-Lite': (
        'centermask/centermask-lite_v19-slim-dw_fpn_ms-4x_coco.py',
        dict(test_cfg=dict(bbox=SCORES)),
    ),
    'CenterMask, deformable': (
        'centermask/centermask_v39-dcn_fpn_ms-3x_coco.py',
        dict(test_cfg=dict(bbox=SCORES)),
    ),
    'CenterMask with points': ('point_centermask/point-centermask_dla34_130e_voc.py', dict(test_cfg=SCORES)),
}


def config_of(kind: str, longest_side: int = 320) -> Config:
    """The config of a small model, which sees images of at most this size."""
    name, overrides = KINDS[kind]
    cfg = student_of(read_config(name if '::' in name else str(ROOT / 'configs' / name)))
    cfg.model.pop('auxiliary_head', None)
    cfg.merge_from_dict(dict(model=overrides))
    dataset = cfg.test_dataloader.dataset
    for step in dataset.pipeline:
        if step['type'].split('.')[-1] == 'Resize':
            factor = longest_side / max(step.scale)
            step.scale = tuple(max(round(side * factor), 1) for side in step.scale)
        if step['type'].split('.')[-1] == 'Pad' and 'size' in step:
            step['size'] = (longest_side, longest_side)
    return cfg


def save_lively_weights(cfg: Config, path: Path) -> None:
    """Random weights by which a model finds objects, and different ones at different places."""
    register_all_modules(init_default_scope=False)
    generator = torch.Generator().manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), contextlib.redirect_stdout(io.StringIO()):
        model = MODELS.build(cfg.model)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            gain = next((gain for part, gain in GAINS.items() if part in name), 1.4)
            parameter.data.normal_(0, gain / parameter[0].numel() ** 0.5, generator=generator)
        else:
            shift = next((shift for part, shift in SHIFTS.items() if name.endswith(part)), 0.0)
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator) + shift)
    images = [cv2.imread(str(file))[:192, :192] for file in sorted(IMAGES.iterdir())[:4]]
    batch = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float()
    batch = (batch - model.data_preprocessor.mean) / model.data_preprocessor.std
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):  # also those that a config keeps in eval mode
            module.train()
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(8):  # norms learn what they get
            model.extract_feat(batch)
    torch.save(dict(state_dict=model.state_dict()), path)
