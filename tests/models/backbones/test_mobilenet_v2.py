"""MobileNetV2 without the layer that detectors do not use."""

import pytest
import torch
from mmdet.models.backbones import MobileNetV2 as MMDetMobileNetV2

from mmkd.models import MobileNetV2

DETECTION = dict(out_indices=(2, 4, 6), norm_cfg=dict(type='BN', requires_grad=False), norm_eval=True)


def test_outputs_equal_those_of_mmdet():
    torch.manual_seed(0)
    theirs = MMDetMobileNetV2(**DETECTION)
    ours = MobileNetV2(**DETECTION)
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith('conv2.')}, strict=True)
    theirs.eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        outs = ours.eval()(x)
        for a, b in zip(theirs(x), outs, strict=True):
            assert torch.equal(a, b)
    assert [tuple(out.shape) for out in outs] == [(1, 32, 8, 12), (1, 96, 4, 6), (1, 320, 2, 3)]


def test_number_of_parameters_is_that_of_centermask_lite():
    # Without the 320 -> 1280 convolution (and its norm) and without a classifier.
    assert sum(parameter.numel() for parameter in MobileNetV2(**DETECTION).parameters()) == 1_811_712


def test_the_missing_layer_cannot_be_asked_for():
    with pytest.raises(ValueError, match=r'MobileNetV2: out_indices is \(2, 7\), expected values of 0 to 6'):
        MobileNetV2(out_indices=(2, 7))
