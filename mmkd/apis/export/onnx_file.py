"""Writing a model as an ONNX file that says what it is."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from typing import Any
from unittest import mock

import torch

from mmkd.utils.errors import UserError
from mmkd.version import __version__

from .networks import ExportedModel
from .operators import OPSET, exportable_operators
from .postprocess import exportable_postprocessing

__all__ = ['metadata_of', 'to_onnx']

METADATA_KEY = 'mmkd'


def to_onnx(model: ExportedModel, example: torch.Tensor, metadata: dict, fixed_size: bool = False) -> bytes:
    """The model as an ONNX file.

    The graph is traced: steps that depend on what is found have been replaced (:mod:`.postprocess`), and sizes stay
    variables where ``fixed_size`` does not say otherwise.

    Args:
        model: What to export.
        example: (N, H, W, 3) uint8, any image.
        metadata: Is written into the file, see :func:`metadata_of`.
        fixed_size: Whether the file takes images of the size of the example only.

    Raises:
        UserError: A part of the network has no counterpart in ONNX.
    """
    import onnx

    axes = {} if fixed_size else {1: 'image_height', 2: 'image_width'}
    dynamic = {'images': {0: 'batch', **axes} if model.many_images and not fixed_size else axes}
    for name, dimensions in model.dynamic.items():
        dynamic[name] = {i: axis for i, axis in dimensions.items() if not fixed_size or not model.many_images}
    buffer = io.BytesIO()
    with _exporting():
        try:
            torch.onnx.export(
                model,
                (example,),
                buffer,
                input_names=['images'],
                output_names=model.outputs,
                dynamic_axes={name: dimensions for name, dimensions in dynamic.items() if dimensions},
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, NotImplementedError, RuntimeError) as error:
            raise UserError(f'{type(model.model).__name__} cannot be exported: {_first_line(error)}') from error
    file = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(file, {METADATA_KEY: json.dumps(metadata)})
    file.producer_name, file.producer_version = 'mmkd', __version__
    onnx.checker.check_model(file)
    return file.SerializeToString()


@contextmanager
def _exporting() -> Iterator[None]:
    """Within, models can be traced."""
    with ExitStack() as stack:
        for context in (
            exportable_operators(),
            exportable_postprocessing(),
            torch.no_grad(),
            warnings.catch_warnings(),
        ):
            stack.enter_context(context)
        warnings.simplefilter('ignore')  # hundreds on sizes that are constants, which the check goes after
        # mmdet 3 asks whether an export is going on, and imports a module then that it has no more
        stack.enter_context(mock.patch.object(torch.onnx, 'is_in_onnx_export', return_value=False))
        stack.enter_context(redirect_stdout(io.StringIO()))  # the graph, where a part of it cannot be exported
        yield


def metadata_of(model: ExportedModel, classes: Sequence[str], palette: Sequence | None, options: Any) -> dict:
    """What a file says of itself, beside its graph.

    Args:
        model: What is exported.
        classes: Their names.
        palette: An RGB colour for each, or None.
        options: ``colour``, ``size`` and ``precision``, see :class:`~.exporting.ExportOptions`.

    Returns:
        ``task``; ``classes`` and ``palette``; ``colour``, the order of the channels; ``size``, (height, width) or None
        for any; ``many_images``; ``precision``; the ``outputs``; thresholds, and how masks are made.
    """
    return dict(
        version=__version__,
        task=model.task,
        classes=list(classes),
        palette=palette,
        colour=options.colour,
        size=list(options.size) if options.size else None,
        precision=options.precision,
        many_images=model.many_images and not options.size,
        outputs=list(model.outputs),
        **model.settings,
        **_thresholds(model.model),
    )


def _thresholds(model: torch.nn.Module) -> dict:
    cfg = getattr(model, 'test_cfg', None) or {}
    cfg = cfg.get('bbox') or cfg.get('rcnn') or cfg
    known = {key: cfg.get(key) for key in ('score_thr', 'max_per_img') if cfg.get(key) is not None}
    nms = cfg.get('nms') or {}
    if 'iou_threshold' in nms:
        known['iou_thr'] = nms['iou_threshold']
    return known


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
