"""mmrazor's own configs under DenseDistill: nothing is changed but the type, and the sizes."""

from pathlib import Path

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from mmkd.compat import import_mmrazor
from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

CONFIGS = Path(import_mmrazor().__file__).parent / '.mim' / 'configs' / 'distill'
CWD_PSPNET = 'mmseg/cwd/cwd_logits_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
PKD_RETINANET = 'mmdet/pkd/pkd_fpn_retina_x101_retina_r50_2x_coco.py'
PKD_FASTER_RCNN = 'mmdet/pkd/pkd_fpn_faster-rcnn_r101_faster-rcnn_r50_2x_coco.py'

BN = dict(type='BN')


def small_pspnet(expansion, channels):
    return dict(
        backbone=dict(base_channels=channels, stem_channels=channels, norm_cfg=BN),
        decode_head=dict(in_channels=8 * channels * expansion, channels=8, norm_cfg=BN),
        auxiliary_head=dict(in_channels=4 * channels * expansion, channels=8, norm_cfg=BN),
        data_preprocessor=dict(size=(32, 64)),
        pretrained=None,
    )


def small_detector(channels, **backbone):
    out = [channels * 4 * 2**i for i in range(4)]
    return dict(
        backbone=dict(depth=50, base_channels=channels, init_cfg=None, **backbone),
        neck=dict(in_channels=out, out_channels=8),
    )


RETINA_HEAD = dict(bbox_head=dict(in_channels=8, feat_channels=8, stacked_convs=1))
FASTER_RCNN_HEADS = dict(
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8), bbox_head=dict(in_channels=8, fc_out_channels=8, num_classes=80)
    ),
)
SMALL = {
    CWD_PSPNET: (small_pspnet(1, 8), small_pspnet(4, 4)),
    PKD_RETINANET: (
        dict(small_detector(4), **RETINA_HEAD),
        dict(small_detector(8, groups=2, base_width=4), **RETINA_HEAD),
    ),
    PKD_FASTER_RCNN: (
        dict(small_detector(4), **FASTER_RCNN_HEADS),
        dict(small_detector(8), **FASTER_RCNN_HEADS),
    ),
}


def build(path):
    cfg = Config.fromfile(str(CONFIGS / path))
    student, teacher = SMALL[path]
    cfg.model.type = 'DenseDistill'
    cfg.model.teacher_ckpt = None
    cfg.merge_from_dict(dict(model=dict(architecture=student, teacher=teacher, dry_run=dict(size=(64, 64)))))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def segmentation_batch():
    samples = []
    for _ in range(2):
        sample = SegDataSample(metainfo=dict(img_shape=(32, 64), ori_shape=(32, 64)))
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 19, (1, 32, 64)))
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8) for _ in samples], data_samples=samples)


def detection_batch():
    samples = []
    for _ in range(2):
        sample = DetDataSample(metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), scale_factor=(1.0, 1.0)))
        boxes = torch.tensor([[4.0, 4, 40, 40], [20, 10, 60, 50]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([3, 7]))
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in samples], data_samples=samples)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('path', 'batch', 'losses'),
    [
        (CWD_PSPNET, segmentation_batch, ['distill.loss_cwd']),
        (PKD_RETINANET, detection_batch, [f'distill.loss_pkd_fpn{i}' for i in range(4)]),
        (PKD_FASTER_RCNN, detection_batch, [f'distill.loss_pkd_fpn{i}' for i in range(4)]),
    ],
)
def test_the_config_trains_and_validates(path, batch, losses):
    algorithm = build(path)
    assert isinstance(algorithm, DenseDistill)
    algorithm.init_weights()
    assert algorithm.teacher.built
    optimizer = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=1e-3))
    algorithm.train()
    before = {name: parameter.detach().clone() for name, parameter in algorithm.student.backbone.named_parameters()}
    log = algorithm.train_step(batch(), optimizer)
    assert [name for name in log if name.startswith('distill.')] == losses
    assert all(torch.isfinite(value).all() for value in log.values())
    assert any(name.startswith('student.') for name in log)
    after = dict(algorithm.student.backbone.named_parameters())
    assert any(not torch.equal(after[name], before[name]) for name in before)

    algorithm.eval()
    with torch.no_grad():
        predictions = algorithm.val_step(batch())
    assert len(predictions) == 2


@pytest.mark.slow
def test_the_losses_of_the_config_are_those_of_mmrazor():
    """Where both do the same work (no dropout, one normalisation) the numbers are the same."""
    cfg = Config.fromfile(str(CONFIGS / CWD_PSPNET))
    algorithm = build(CWD_PSPNET)
    algorithm.init_weights()
    for module in algorithm.student.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    algorithm.train()
    data = algorithm.data_preprocessor(segmentation_batch(), True)
    ours = algorithm(**data, mode='loss')

    with DefaultScope.overwrite_default_scope('mmrazor'):
        mmrazor = import_mmrazor().registry.MODELS.build(
            dict(
                type='SingleTeacherDistill',
                architecture=algorithm.student,
                teacher=algorithm.teacher.model,
                distiller=cfg.model.distiller,
            )
        )
    mmrazor.train()
    mmrazor.teacher.eval()
    for module in algorithm.student.modules():  # the step above has moved the statistics, which training does not read
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
    theirs = mmrazor(**data, mode='loss')
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6)
