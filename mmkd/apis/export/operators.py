"""What the networks of mmcv and PyTorch are made of, in terms that ONNX knows.

``torch.onnx`` has no translation for the compiled operators of mmcv, nor for adaptive pooling of maps of any size.
While :func:`exportable_operators` is in force they are operators of a library of our own, which run as before and are
written into the graph as the standard operator of ONNX that gives the same numbers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.models.utils.traced_sizes import size_tensor

__all__ = ['OPSET', 'exportable_operators', 'put_in_place']

OPSET = 19  # the first that has deformable convolution

_LIBRARY = 'mmkd_export'
_MASKS = ('key_padding_mask', 'attn_mask')


@contextmanager
def exportable_operators() -> Iterator[None]:
    """Within, networks that use mmcv's NMS, RoIAlign and DCNv2, or adaptive pooling, can be traced and exported."""
    from mmcv import ops
    from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding

    _register()
    with ExitStack() as stack:
        for original, ours in (
            (ops.batched_nms, batched_nms),
            (ops.roi_align, _roi_align),
            (ops.modulated_deform_conv2d, _modulated_deform_conv2d),
            (ops.deform_conv2d, _deform_conv2d),
        ):
            stack.enter_context(put_in_place(original, ours))
        stack.enter_context(mock.patch.object(F, 'adaptive_avg_pool2d', adaptive_avg_pool2d))
        stack.enter_context(mock.patch.object(Conv2dAdaptivePadding, 'forward', conv2d_adaptive_padding))
        stack.enter_context(mock.patch.object(nn.MultiheadAttention, 'forward', multihead_attention))
        yield


@contextmanager
def put_in_place(original: Callable, ours: Callable) -> Iterator[None]:
    """Puts ``ours`` wherever a loaded module has ``original`` under some name: ``from x import f`` makes many."""
    places = [
        (module, name)
        for module in list(sys.modules.values())
        for name, value in list(getattr(module, '__dict__', {}).items())
        if value is original
    ]
    with ExitStack() as stack:
        for module, name in places:
            stack.enter_context(mock.patch.object(module, name, ours))
        yield


# ------------------------------------------------------------------------------------------------------- replacements


def batched_nms(
    boxes: Tensor, scores: Tensor, idxs: Tensor, nms_cfg: dict | None, class_agnostic: bool = False
) -> tuple[Tensor, Tensor]:
    """mmcv's ``batched_nms`` of boxes of which those that do not count score less than zero.

    Returns:
        Boxes and scores (n, 5), the best first, and which they are (n,); none that scores less than zero.

    Raises:
        NotImplementedError: Another method than greedy suppression.
    """
    cfg = dict(nms_cfg or {})
    kind = cfg.pop('type', 'nms')
    if nms_cfg is None or kind != 'nms' or cfg.get('offset', 0):
        raise NotImplementedError(
            f"test_cfg.nms: {nms_cfg} cannot be exported, ONNX has greedy suppression only: dict(type='nms', ...)"
        )
    shifted = boxes
    if not cfg.get('class_agnostic', class_agnostic):
        shifted = boxes + (idxs.to(boxes) * (boxes.max() + 1))[:, None]  # as mmcv keeps classes apart
    keep = torch.ops.mmkd_export.nms(shifted, scores, float(cfg.get('iou_threshold', cfg.get('iou_thr', 0.5))))
    kept_scores, order = scores[keep].sort(descending=True)
    keep = keep[order]
    limit = cfg.get('max_num', -1)
    if limit > 0:
        keep, kept_scores = keep[:limit], kept_scores[:limit]
    return torch.cat([boxes[keep], kept_scores[:, None]], dim=1), keep


def adaptive_avg_pool2d(x: Tensor, output_size: int | tuple) -> Tensor:
    """Adaptive pooling by two products with matrices, made from the size that a map has when the graph runs."""
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    if (height, width) == (1, 1):
        return x.mean(dim=(2, 3), keepdim=True)
    rows = x if height is None else _pooling(x.shape[2], height, x) @ x
    return rows if width is None else rows @ _pooling(x.shape[3], width, x).T


def _pooling(size: int | Tensor, bins: int, like: Tensor) -> Tensor:
    """(bins, size): bin i is the mean of cells ``floor(i * size / bins)`` to ``ceil((i + 1) * size / bins)``."""
    size = size_tensor(size)
    index = torch.arange(bins)
    first = torch.div(index * size, bins, rounding_mode='floor')[:, None]
    last = torch.div((index + 1) * size + (bins - 1), bins, rounding_mode='floor')[:, None]
    cell = torch.arange(size)[None]
    inside = ((cell >= first) & (cell < last)).to(like)
    return inside / (last - first).to(like)


def conv2d_adaptive_padding(self: nn.Conv2d, x: Tensor) -> Tensor:
    """As ``Conv2dAdaptivePadding.forward`` (the "same" padding of TensorFlow), for maps of any size."""
    padding = []
    for side, kernel, stride, dilation in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True):
        reach = (kernel - 1) * dilation
        if stride > 1:
            outputs = torch.div(size_tensor(side) + stride - 1, stride, rounding_mode='floor')
            reach = ((outputs - 1) * stride + reach + 1 - side).clamp(min=0)
        padding = [reach // 2, reach - reach // 2, *padding]
    return F.conv2d(F.pad(x, padding), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def multihead_attention(self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **kwargs) -> tuple:
    """As ``nn.MultiheadAttention.forward`` without masks, whose graph is right for one length of the sequence only."""
    if self.in_proj_weight is None or self.bias_k is not None or any(kwargs.get(name) is not None for name in _MASKS):
        raise NotImplementedError('attention with masks, with a bias of the keys or with keys of another width')
    weights = self.in_proj_weight.chunk(3)
    biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
    if not self.batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    q, k, v = (
        F.linear(x, weight, bias).unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    attended = ((q * self.head_dim**-0.5) @ k.transpose(2, 3)).softmax(3) @ v
    outputs = self.out_proj(attended.transpose(1, 2).flatten(2))
    return outputs if self.batch_first else outputs.transpose(0, 1), None


def _roi_align(features, rois, output_size, spatial_scale=1.0, sampling_ratio=0, pool_mode='avg', aligned=True):
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    settings = int(height), int(width), float(spatial_scale), int(sampling_ratio), bool(aligned)
    if pool_mode != 'avg':
        raise NotImplementedError(f"roi_layer.pool_mode: {pool_mode!r} cannot be exported, 'avg' can")
    return torch.ops.mmkd_export.roi_align(features, rois, *settings)


def _modulated_deform_conv2d(
    x, offset, mask, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, deform_groups=1
):
    sides = [[n, n] if isinstance(n, int) else list(n) for n in (stride, padding, dilation)]
    return torch.ops.mmkd_export.deform_conv(x, offset, mask, weight, bias, *sides, groups, deform_groups)


def _deform_conv2d(
    x, offset, weight, stride=1, padding=0, dilation=1, groups=1, deform_groups=1, bias=False, im2col_step=32
):
    mask = torch.ones_like(offset[:, : offset.shape[1] // 2])
    return _modulated_deform_conv2d(x, offset, mask, weight, None, stride, padding, dilation, groups, deform_groups)


# --------------------------------------------------------------------------------------------- operators and their ONNX


@functools.cache
def _register() -> None:
    """Makes the operators known to PyTorch, which run mmcv's, and tells ``torch.onnx`` what they are."""
    from mmcv.ops.modulated_deform_conv import ModulatedDeformConv2dFunction
    from mmcv.ops.nms import NMSop
    from mmcv.ops.roi_align import RoIAlignFunction

    def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
        candidates = (scores >= 0).nonzero().squeeze(1)
        return candidates[NMSop.apply(boxes[candidates], scores[candidates], iou_threshold, 0, 0.0, -1)]

    def roi_align(x, rois, height: int, width: int, scale: float, sampling_ratio: int, aligned: bool) -> Tensor:
        return RoIAlignFunction.apply(x.contiguous(), rois, (height, width), scale, sampling_ratio, 'avg', aligned)

    def deform_conv(x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups) -> Tensor:
        settings = stride, padding, dilation, groups, deform_groups
        return ModulatedDeformConv2dFunction.apply(x, offset, mask, weight, bias, *map(_tuple, settings))

    schemas = {
        nms: 'nms(Tensor boxes, Tensor scores, float iou_threshold) -> Tensor',
        roi_align: 'roi_align(Tensor x, Tensor rois, int height, int width, float scale, int sampling_ratio, '
        'bool aligned) -> Tensor',
        deform_conv: 'deform_conv(Tensor x, Tensor offset, Tensor mask, Tensor weight, Tensor? bias, int[] stride, '
        'int[] padding, int[] dilation, int groups, int deform_groups) -> Tensor',
    }
    library = torch.library.Library(_LIBRARY, 'FRAGMENT')
    for function, schema in schemas.items():
        library.define(schema)
        library.impl(function.__name__, function, 'CompositeExplicitAutograd')
    _register.library = library  # what it defined is gone with it

    for name, symbolic in (('nms', _onnx_nms), ('roi_align', _onnx_roi_align), ('deform_conv', _onnx_deform_conv)):
        torch.onnx.register_custom_op_symbolic(f'{_LIBRARY}::{name}', symbolic, OPSET)


def _tuple(value):
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _constant(g, values, dtype=torch.int64):
    return g.op('Constant', value_t=torch.tensor(values, dtype=dtype))


def _onnx_nms(g, boxes, scores, iou_threshold):
    """``NonMaxSuppression`` of one class of one image. It leaves out what scores no more than its threshold."""
    iou_threshold = _value(iou_threshold)
    boxes = g.op('Reshape', boxes, _constant(g, [1, -1, 4]))  # OpenVINO has to know that there are four
    scores = g.op('Unsqueeze', scores, _constant(g, [0, 1]))
    limits = _constant(g, [2**31 - 1]), _constant(g, [iou_threshold], torch.float32)
    selected = g.op('NonMaxSuppression', boxes, scores, *limits, _constant(g, [-1e-9], torch.float32))
    return g.op('Squeeze', g.op('Gather', selected, _constant(g, [2]), axis_i=1), _constant(g, [1]))


def _onnx_roi_align(g, x, rois, height, width, scale, sampling_ratio, aligned):
    image = g.op('Squeeze', g.op('Gather', rois, _constant(g, [0]), axis_i=1), _constant(g, [1]))
    return g.op(
        'RoiAlign',
        x,
        g.op('Gather', rois, _constant(g, [1, 2, 3, 4]), axis_i=1),
        g.op('Cast', image, to_i=torch.onnx.TensorProtoDataType.INT64),
        coordinate_transformation_mode_s='half_pixel' if _value(aligned) else 'output_half_pixel',
        mode_s='avg',
        output_height_i=_value(height),
        output_width_i=_value(width),
        sampling_ratio_i=max(0, _value(sampling_ratio)),
        spatial_scale_f=_value(scale),
    )


def _onnx_deform_conv(g, x, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    from torch.onnx import symbolic_helper

    if symbolic_helper._is_none(bias):
        bias = g.op('Constant', value_t=torch.zeros(weight.type().sizes()[0]))
    padding = _value(padding)
    return g.op(
        'DeformConv',
        *(x, weight, offset, bias, mask),
        strides_i=_value(stride),
        pads_i=[*padding, *padding],
        dilations_i=_value(dilation),
        group_i=_value(groups),
        offset_group_i=_value(deform_groups),
        kernel_shape_i=weight.type().sizes()[2:],
    )


def _value(node):
    """The constant that a node of the graph is."""
    from torch.onnx import symbolic_helper

    node = node.node() if hasattr(node, 'node') else node
    if node.kind() == 'prim::ListConstruct':
        return [_value(item) for item in node.inputs()]
    value = symbolic_helper._node_get(node, 'value')
    return value.tolist() if isinstance(value, Tensor) else value
