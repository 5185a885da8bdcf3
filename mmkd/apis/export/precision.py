"""Files of half precision, and of 8-bit integers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx

from mmkd.utils.errors import UserError

__all__ = ['PRECISIONS', 'convert']

PRECISIONS = ('float32', 'float16', 'int8')

# Operators that hold weights. The rest of a network is left as it is.
QUANTIZED = ('Conv', 'ConvTranspose', 'Gemm', 'MatMul')
KEPT_IN_FLOAT32 = ('DeformConv', 'LayerNormalization', 'Softmax', 'ReduceMean')


def convert(source: Path, target: Path, precision: str, images: Sequence[np.ndarray]) -> None:
    """Writes a file of another precision. What comes before the network and after it stays in float32.

    Args:
        source: A file of float32.
        target: The file to write.
        precision: ``'float16'`` or ``'int8'``.
        images: (1, H, W, 3) uint8 in the file's order of the channels, which the ranges of int8 are measured on.

    Raises:
        UserError: There are no images.
    """
    if precision == 'float16':
        _to_half(source, target)
    elif not images:
        raise UserError('--precision int8: no images to calibrate on; give a folder with --calibrate')
    else:
        _to_int8(source, target, images)


def _outside_of_network(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that belong to no layer: ``/preprocess/...`` and ``/Sigmoid_1``, not ``/backbone/Conv``."""
    names = (node.name for node in graph.node)
    return [name for name in names if name.startswith('/preprocess/') or name.count('/') < 2]


def _to_half(source: Path, target: Path) -> None:
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = onnx.load(source)
    half = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_IN_FLOAT32],
        node_block_list=_outside_of_network(model.graph),
    )
    onnx.save(half, target)


def _to_int8(source: Path, target: Path, images: Iterable[np.ndarray]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(images)

        def get_next(self) -> dict | None:
            image = next(self.left, None)
            return None if image is None else {'images': image}

    model = onnx.load(source)
    properties = {item.key: item.value for item in model.metadata_props}
    quantize_static(
        source,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTIZED),
        nodes_to_exclude=_outside_of_network(model.graph),
        per_channel=True,
        activation_type=QuantType.QInt8,  # with unsigned ones, processors without VNNI get other numbers
        weight_type=QuantType.QInt8,
    )
    quantized = onnx.load(target)
    onnx.helper.set_model_props(quantized, properties)
    onnx.save(quantized, target)
