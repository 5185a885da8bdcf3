"""torch.compile gives the same values and gradients."""

import os
import shutil

import pytest
import torch
from helpers.loss_tester import assert_same, draw, value_and_gradient

from mmkd.distillation.losses import (
    AttentionTransferLoss,
    ChannelWiseDivergence,
    DISTLoss,
    FeatureMSELoss,
    LocalizationDistillationLoss,
    OverhaulLoss,
    PairWiseLoss,
    PixelWiseLoss,
)

CASES = dict(
    pixel=PixelWiseLoss(temperature=2.0, activation='softmax'),
    pair=PairWiseLoss(),
    pair_avg=PairWiseLoss(pool='avg', node_size=2, method='gram'),  # with windows cut at the border
    mse_channel=FeatureMSELoss(normalize='channel'),
    channel=ChannelWiseDivergence(temperature=4.0),
    attention=AttentionTransferLoss(normalize='column'),
    overhaul=OverhaulLoss(),
    boundary=PixelWiseLoss(activation='softmax', boundary_weight=3.0),
    dist=DISTLoss(),
    localization=LocalizationDistillationLoss(),
)


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which(os.environ.get('CXX', 'g++')), reason='torch.compile needs a C++ compiler on the CPU'
)
@pytest.mark.parametrize('name', CASES)
def test_compiled_loss_gives_the_same_value_and_gradient(name):
    student, teacher = draw((2, 8, 5, 6), (2, 8, 5, 6))
    expected = value_and_gradient(CASES[name], student, teacher)
    torch.compiler.reset()
    compiled = torch.compile(CASES[name], fullgraph=True, dynamic=False)
    actual = value_and_gradient(compiled, student, teacher)
    for what, a, e in zip(('value', 'gradient'), actual, expected, strict=True):
        assert_same(a, e, 1e-5, what)
