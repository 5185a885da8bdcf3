"""What stands in for operators without a counterpart in ONNX gives the same, in PyTorch and in the file."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from torch import nn

from mmkd.apis.export.operators import OPSET, adaptive_avg_pool2d, batched_nms, exportable_operators

onnxruntime = pytest.importorskip('onnxruntime')


class Module(nn.Module):
    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, *inputs):
        return self.function(*inputs)


def in_file(function, example, inputs, *parts):
    """What a file traced from ``example`` gives for ``inputs``."""
    names = [f'x{i}' for i in range(len(example))]
    axes = {name: dict(enumerate(f'{name}{j}' for j in range(x.dim()))) for name, x in zip(names, example, strict=True)}
    buffer = io.BytesIO()
    with exportable_operators():
        torch.onnx.export(
            Module(function, *parts).eval(),
            example,
            buffer,
            input_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    session = onnxruntime.InferenceSession(buffer.getvalue())
    feed = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
    return [torch.from_numpy(x) for x in session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})]


def boxes_and_scores(number, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + torch.rand(number, 2, generator=generator) * 30 + 1], 1)
    return boxes, torch.rand(number, generator=generator), torch.randint(0, 3, (number,), generator=generator)


@pytest.mark.parametrize('cfg', [dict(type='nms', iou_threshold=0.4), dict(iou_threshold=0.6, class_agnostic=True)])
@pytest.mark.parametrize('number', [50, 200, 7])
def test_suppression_is_that_of_mmcv(cfg, number):
    boxes, scores, labels = boxes_and_scores(number)
    expected, keep = ops.batched_nms(boxes, scores, labels, cfg)
    given = in_file(lambda *x: batched_nms(*x, cfg), boxes_and_scores(50, 1), (boxes, scores, labels))
    torch.testing.assert_close(given[0], expected)
    assert given[1].tolist() == keep.tolist()


@pytest.mark.parametrize('present', [0, 1, 20])
def test_what_does_not_count_is_left_out(present):
    cfg = dict(type='nms', iou_threshold=0.4)
    boxes, scores, labels = boxes_and_scores(40)
    expected = boxes[:0]
    if present:
        expected, _ = ops.batched_nms(boxes[:present], scores[:present], labels[:present], cfg)
    scores[present:] = -1
    for found, keep in (
        in_file(lambda *x: batched_nms(*x, cfg), boxes_and_scores(40, 1), (boxes, scores, labels)),
        _in_pytorch(boxes, scores, labels, cfg),
    ):
        assert len(keep) == len(expected)
        if present:
            torch.testing.assert_close(found, expected)


def _in_pytorch(*arguments):
    with exportable_operators():
        return batched_nms(*arguments)


def test_other_suppressions_are_refused():
    with pytest.raises(NotImplementedError, match=r'test_cfg\.nms: .*soft_nms.* cannot be exported'):
        batched_nms(*boxes_and_scores(4), dict(type='soft_nms', iou_threshold=0.4))


@pytest.mark.parametrize('aligned', [True, False])
def test_roi_align_is_that_of_mmcv(aligned):
    features = torch.randn(2, 3, 16, 20)
    rois = torch.tensor([[0, 1.5, 2.0, 30.0, 40.5], [1, -9.0, 3.0, 12.0, 80.0], [0, 5.0, 5.0, 5.0, 5.0]])
    layer = ops.RoIAlign(7, 0.25, 0, aligned=aligned)
    (given,) = in_file(lambda x, r: layer(x, r), (torch.randn(1, 3, 8, 8), rois[:1]), (features, rois))
    torch.testing.assert_close(given, layer(features, rois), rtol=1e-4, atol=1e-5)


def test_deformable_convolution_is_that_of_mmcv():
    layer = ops.ModulatedDeformConv2dPack(4, 6, 3, stride=2, padding=1, deform_groups=2, bias=True)
    nn.init.normal_(layer.conv_offset.weight, std=0.3)
    x = torch.randn(2, 4, 12, 9)
    (given,) = in_file(lambda x: layer(x), (torch.randn(1, 4, 8, 8),), (x,), layer)
    with torch.no_grad():
        torch.testing.assert_close(given, layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('bins', [1, 3, (2, 6), (None, 4)])
@pytest.mark.parametrize('size', [(8, 8), (13, 7), (5, 17)])
def test_adaptive_pooling_is_that_of_pytorch(bins, size):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(adaptive_avg_pool2d(x, bins), F.adaptive_avg_pool2d(x, bins))


def test_adaptive_pooling_holds_for_other_sizes_than_the_traced():
    x = torch.randn(1, 3, 13, 22)
    (given,) = in_file(lambda x: F.adaptive_avg_pool2d(x, 3), (torch.randn(1, 3, 8, 8),), (x,))
    torch.testing.assert_close(given, F.adaptive_avg_pool2d(x, 3))


@pytest.mark.parametrize(
    ('kernel', 'stride', 'size'), [(3, 1, (9, 8)), (3, 2, (9, 8)), (5, 2, (11, 6)), (2, 3, (7, 9))]
)
def test_padding_as_in_tensorflow_holds_for_other_sizes_than_the_traced(kernel, stride, size):
    layer = Conv2dAdaptivePadding(3, 4, kernel, stride)
    x = torch.randn(1, 3, *size)
    (given,) = in_file(lambda x: layer(x), (torch.randn(1, 3, 8, 8),), (x,), layer)
    with torch.no_grad():
        torch.testing.assert_close(given, layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('batch_first', [True, False])
def test_attention_holds_for_other_lengths_than_the_traced(batch_first):
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    query, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    if not batch_first:
        query, memory = query.transpose(0, 1), memory.transpose(0, 1)
    examples = (torch.randn(2, 2, 8), torch.randn(2, 2, 8))
    (given,) = in_file(lambda q, m: layer(q, m, m)[0], examples, (query.contiguous(), memory.contiguous()), layer)
    with torch.no_grad():
        torch.testing.assert_close(given, layer(query, memory, memory)[0], rtol=1e-4, atol=1e-5)


def test_everything_is_as_before_afterwards():
    before = ops.batched_nms, ops.roi_align, F.adaptive_avg_pool2d, nn.MultiheadAttention.forward
    with pytest.raises(ZeroDivisionError), exportable_operators():
        assert ops.batched_nms is not before[0]
        1 / 0  # noqa: B018
    assert (ops.batched_nms, ops.roi_align, F.adaptive_avg_pool2d, nn.MultiheadAttention.forward) == before


def test_deformable_convolution_takes_memory_in_any_order():
    """mmcv reads what is channels-last as if it were not; mmkd.compat mends it."""
    layer = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
    nn.init.normal_(layer.conv_offset.weight, std=0.3)
    x = torch.randn(1, 4, 9, 7)
    with torch.no_grad():
        expected, given = layer(x), layer(x.contiguous(memory_format=torch.channels_last))
    np.testing.assert_allclose(given.numpy(), expected.numpy(), atol=1e-5)
