"""The spatial attention of CenterMask and the mask head around it."""

import pytest
import torch
import torch.nn.functional as F
from helpers.golden import assert_close_to_rms, golden_arrays
from helpers.roi_head_cases import TRAIN_GOLDEN, Positives, rectangle, unit_arrays
from mmdet.structures.mask import PolygonMasks
from mmengine.structures import InstanceData

from mmkd.models.roi_heads.mask_heads import SpatialAttention, SpatialAttentionMaskHead, select_class
from mmkd.registry import MODELS


def make_head(**kwargs):
    cfg = dict(num_convs=2, in_channels=8, conv_out_channels=8, num_classes=5)
    return SpatialAttentionMaskHead(**{**cfg, **kwargs})


def test_attention_of_the_golden_features():
    arrays = unit_arrays('sam')
    attention = SpatialAttention()
    attention.load_state_dict({'conv.weight': torch.from_numpy(arrays['weight'])})
    assert_close_to_rms(attention(torch.from_numpy(arrays['x'])), arrays['y'], relative=1e-5)


def test_attention_takes_the_mean_first():
    """Mean 2, largest channel 5; a kernel that reads only its first input gives sigmoid(2)."""
    attention = SpatialAttention()
    torch.nn.init.zeros_(attention.conv.weight)
    attention.conv.weight.data[0, 0, 1, 1] = 1
    x = torch.tensor([0.0, 1.0, 5.0]).reshape(1, 3, 1, 1)
    assert torch.allclose(attention(x), x * torch.tensor(2.0).sigmoid())


def test_attention_kernels():
    assert SpatialAttention(7).conv.weight.shape == (1, 2, 7, 7)
    assert SpatialAttention(7)(torch.zeros(2, 4, 14, 14)).shape == (2, 4, 14, 14)
    assert SpatialAttention().conv.bias is None
    with pytest.raises(ValueError, match='attention_kernel_size: got 5, expected 3 or 7'):
        make_head(attention_kernel_size=5)


def test_head_is_convolutions_attention_deconvolution_and_logits():
    torch.manual_seed(0)
    head = make_head()
    x = torch.randn(3, 8, 14, 14)
    y = x
    for conv in head.convs:
        y = F.relu(F.conv2d(y, conv.conv.weight, conv.conv.bias, padding=1))
    summary = torch.stack([y.mean(1), y.amax(1)], dim=1)
    y = y * F.conv2d(summary, head.spatial_attention.conv.weight, padding=1).sigmoid()
    y = F.relu(F.conv_transpose2d(y, head.upsample.weight, head.upsample.bias, stride=2))
    y = F.conv2d(y, head.conv_logits.weight, head.conv_logits.bias)
    assert torch.allclose(head(x), y, atol=1e-6)
    assert y.shape == (3, 5, 28, 28)


@pytest.mark.parametrize('channels,convs,count', [(256, 4, 2643298), (128, 2, 371170)], ids=['standard', 'lite'])
def test_number_of_parameters(channels, convs, count):
    head = SpatialAttentionMaskHead(num_convs=convs, in_channels=channels, conv_out_channels=channels, num_classes=80)
    assert sum(parameter.numel() for parameter in head.parameters()) == count


def test_initial_weights():
    torch.manual_seed(0)
    head = make_head(in_channels=64, conv_out_channels=64, num_classes=80)
    head.init_weights()
    assert head.conv_logits.weight.std().item() == pytest.approx(0.001, rel=0.05)
    # Kaiming, fan out: variance 2 / (C_out * k * k); torch takes the first dimension for C_out everywhere.
    assert head.convs[0].conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert head.upsample.weight.std().item() == pytest.approx((2 / (64 * 4)) ** 0.5, rel=0.05)
    assert head.spatial_attention.conv.weight.std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.5)
    biases = [value for name, value in head.named_parameters() if name.endswith('bias')]
    assert biases
    assert not any(bias.any() for bias in biases)


def test_loss_of_the_golden_training_step():
    arrays = golden_arrays(TRAIN_GOLDEN)
    logits, targets = torch.from_numpy(arrays['fg_mask_logits']), torch.from_numpy(arrays['fg_mask_target'])
    head = make_head()
    head.get_targets = lambda *args: targets.float()
    # The logits are those of class 1. Class 0 would give a loss of about 50 instead of less than 1.
    preds = torch.stack([torch.full_like(logits, 100.0), logits], dim=1)
    positives = Positives([[0.0] * 4] * len(logits), [0] * len(logits), [1] * len(logits))
    loss = head.loss_and_target(preds, [positives], [None], dict(mask_size=28))['loss_mask']['loss_mask']
    assert loss.item() == pytest.approx(arrays['loss_mask'].item(), rel=1e-6)


def test_loss_of_the_golden_units():
    arrays = unit_arrays('miou')
    head = make_head(num_classes=3)
    head.get_targets = lambda *args: torch.from_numpy(arrays['raster']).float()
    positives = Positives(arrays['boxes'], list(range(6)), arrays['classes'])
    logits = torch.from_numpy(arrays['mask_logits'])
    loss = head.loss_and_target(logits, [positives], [None], dict(mask_size=28))['loss_mask']['loss_mask']
    assert loss.item() == pytest.approx(arrays['mask_loss'].item(), rel=1e-6)
    chosen = select_class(logits, torch.from_numpy(arrays['classes']))
    assert_close_to_rms(chosen.sigmoid()[:, None], arrays['selected_prob'], relative=1e-5)


def test_targets_of_a_batch_come_image_by_image():
    gts = [
        InstanceData(masks=PolygonMasks([[rectangle(0, 0, 4, 4)], [rectangle(0, 0, 8, 4)]], 9, 9)),
        InstanceData(masks=PolygonMasks([], 9, 9)),
        InstanceData(masks=PolygonMasks([[rectangle(0, 0, 8, 2)]], 9, 9)),
    ]
    results = [
        Positives([[0.0, 0, 8, 8]] * 2, [1, 0], [0, 0]),
        Positives([], [], []),
        Positives([[0.0] * 2 + [8.0] * 2], [0], [0]),
    ]
    targets = make_head().get_targets(results, gts, dict(mask_size=28))
    assert targets.mean((1, 2)).tolist() == [1 / 2, 1 / 4, 1 / 4]


def test_class_agnostic_head_has_one_mask_for_all_classes():
    head = make_head(class_agnostic=True)
    gts = [InstanceData(masks=PolygonMasks([[rectangle(0, 0, 8, 8)]], 9, 9))]
    preds = head(torch.randn(1, 8, 14, 14))
    assert preds.shape == (1, 1, 28, 28)
    loss = head.loss_and_target(preds, [Positives([[0.0, 0, 8, 8]], [0], [3])], gts, dict(mask_size=28))
    assert loss['loss_mask']['loss_mask'].item() == pytest.approx(F.softplus(-preds).mean().item(), rel=1e-5)


def test_no_positive_rois_give_zero_with_a_graph():
    head = make_head()
    preds = head(torch.zeros(0, 8, 14, 14))
    gts = [InstanceData(masks=PolygonMasks([], 9, 9))]
    loss = head.loss_and_target(preds, [Positives([], [], [])], gts, dict(mask_size=28))['loss_mask']['loss_mask']
    loss.backward()
    assert loss.item() == 0
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in head.parameters())


def test_wrong_mask_size_is_named():
    head = make_head()
    gts = [InstanceData(masks=PolygonMasks([[rectangle(0, 0, 8, 8)]], 9, 9))]
    with pytest.raises(ValueError, match=r'train_cfg.rcnn.mask_size: got 14, expected .* \(28, 28\)'):
        head.loss_and_target(
            torch.zeros(1, 5, 28, 28), [Positives([[0.0, 0, 8, 8]], [0], [0])], gts, dict(mask_size=14)
        )


def test_half_precision_logits_give_a_loss_in_full_precision():
    head = make_head()
    gts = [InstanceData(masks=PolygonMasks([[rectangle(0, 0, 8, 8)]], 9, 9))]
    positives = [Positives([[0.0, 0, 8, 8]], [0], [0])]
    with torch.autocast('cpu', torch.bfloat16):
        preds = head(torch.randn(1, 8, 14, 14))
        loss = head.loss_and_target(preds, positives, gts, dict(mask_size=28))['loss_mask']['loss_mask']
    assert preds.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(F.softplus(-preds[:, 0].float()).mean().item(), rel=1e-5)


def test_found_by_name():
    assert type(MODELS.build(dict(type='mmkd.SpatialAttentionMaskHead', num_classes=2))) is SpatialAttentionMaskHead
