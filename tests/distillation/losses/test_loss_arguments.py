"""What all losses have in common: weights, and shapes in which positions could be taken for channels."""

import inspect
from functools import partial

import pytest
import torch
from helpers.loss_tester import draw

import mmkd.distillation.losses as losses
from mmkd.distillation.losses import (
    DistillationLoss,
    FGDLoss,
    HolisticLoss,
    LogitStandardized,
    LossContext,
    MaskBranchLoss,
    PixelWiseLoss,
    TeacherBoundedLoss,
)
from mmkd.distillation.losses.context import asked_for, takes_all_levels

NEEDED = {
    FGDLoss: dict(global_weight=0),
    LogitStandardized: dict(loss=dict(type='PixelWiseLoss', activation='softmax')),
    PixelWiseLoss: dict(activation='softmax'),
}
MODULES = [
    found
    for found in map(losses.__dict__.get, losses.__all__)
    if inspect.isclass(found) and found not in (DistillationLoss, LossContext)
]
ON_MAPS = [found for found in MODULES if found not in (HolisticLoss, MaskBranchLoss, TeacherBoundedLoss)]


def build(module, **options):
    return module(**NEEDED.get(module, {}), **options)


@pytest.mark.parametrize('weight', ['1.0', None, True, -1, float('nan'), float('inf')])
@pytest.mark.parametrize('module', MODULES)
def test_loss_weight_is_a_finite_number_of_at_least_zero(module, weight):
    with pytest.raises(ValueError, match=f'loss_weight: expected a .*number of at least 0, but got {weight!r}'):
        build(module, loss_weight=weight)


@pytest.mark.parametrize('module', MODULES)
def test_loss_weight_may_be_zero_or_whole(module):
    assert build(module, loss_weight=0).loss_weight == 0
    assert build(module, loss_weight=3).loss_weight == 3


@pytest.mark.parametrize('value', ['warm', 0, -1, float('nan'), float('inf'), True])
@pytest.mark.parametrize('module', [m for m in MODULES if 'temperature' in inspect.signature(m).parameters])
def test_temperature_is_a_finite_number_above_zero(module, value):
    with pytest.raises(ValueError, match=f'temperature: expected a .*number above 0, but got {value!r}'):
        build(module, temperature=value)


@pytest.mark.parametrize('value', ['much', -1, float('nan'), float('inf')])
@pytest.mark.parametrize(
    ('module', 'name'),
    [
        (losses.DISTLoss, 'inter_weight'),
        (losses.DISTLoss, 'intra_weight'),
        (partial(FGDLoss, channels=4), 'fg_weight'),
        (partial(FGDLoss, channels=4), 'bg_weight'),
        (partial(FGDLoss, channels=4), 'attention_weight'),
        (partial(FGDLoss, channels=4), 'global_weight'),
        (MaskBranchLoss, 'mask_iou_weight'),
        (TeacherBoundedLoss, 'margin'),
        (PixelWiseLoss, 'boundary_weight'),
    ],
)
def test_further_numbers_are_looked_at_as_well(module, name, value):
    if name == 'margin' and value == -1:
        return
    with pytest.raises(ValueError, match=f'{name}: expected a .*number.*, but got {value!r}'):
        module(**{name: value})


@pytest.mark.parametrize('module', ON_MAPS)
def test_tokens_are_not_taken_for_maps(module):
    loss = build(module)
    tokens = draw((2, 12, 8), (2, 12, 8))
    if takes_all_levels(loss):
        tokens = [[x, x] for x in tokens]
    samples = dict(data_samples=[_sample(), _sample()]) if asked_for(loss).get('data_samples') else {}
    if module is FGDLoss:
        loss = FGDLoss(levels=2, global_weight=0)
    with pytest.raises(ValueError, match=r'\(2, 12, 8\).*tokens \(N, L, C\).*TokenMapConnector.*transpose'):
        loss(*tokens, **samples)


def _sample():
    from mmengine.structures import BaseDataElement, InstanceData

    sample = BaseDataElement(metainfo=dict(img_shape=(8, 8)))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[0.0, 0, 4, 4]]))
    return sample


@pytest.mark.parametrize('module', [m for m in ON_MAPS if m not in (losses.DISTLoss, PixelWiseLoss)])
def test_ignore_index_is_refused_where_there_are_no_labels(module):
    with pytest.raises(TypeError, match='ignore_index'):
        build(module, ignore_index=255)
