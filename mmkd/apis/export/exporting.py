"""``mmkd export``: a file that was compared with the model it is of, or none."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from mmkd.apis.errors import warn
from mmkd.apis.inference.models import TorchModel
from mmkd.apis.inference.sources import image_files
from mmkd.utils.errors import UserError
from mmkd.visualization.trained import build_test_dataset, spread_indices

from .check import Agreement, Tolerance, compare, views_of
from .evaluate import evaluate_both, largest_difference
from .measure import installed_backends, latency_table, threads
from .networks import exported_model
from .onnx_file import metadata_of, to_onnx
from .precision import convert
from .runtime import OnnxModel

__all__ = ['ExportOptions', 'export']

TOLERANCES = dict(
    float32=Tolerance(),
    float16=Tolerance(box=1.0, score=0.02, mask_iou=0.9, depth=0.01, least_score=0.3, share=0.05),
)
MAX_DROP = dict(float32=0.1, float16=0.3, int8=1.0)
SHOWN = 10  # problems that are named


@dataclasses.dataclass
class ExportOptions:
    """What can be chosen.

    Attributes:
        colour: ``'rgb'`` or ``'bgr'``, the channels of the images that the file will get.
        size: (height, width), for a file that takes images of this size only; None for any.
        precision: ``'float32'``, ``'float16'`` or ``'int8'``.
        images: A folder or a file of real images to check on; default: the test set of the config.
        calibrate: A folder of images to calibrate int8 on; default: those of the check.
        number: How many images to check on.
        dataset: Whether the metrics of the test set are compared, too.
        dataset_number: On how many of its images; None for all.
        max_drop: How far these may be apart, in points; default: 0.1, for float16 0.3, for int8 1.0.
    """

    colour: str = 'rgb'
    size: tuple[int, int] | None = None
    precision: str = 'float32'
    images: str | None = None
    calibrate: str | None = None
    number: int = 8
    dataset: bool = False
    dataset_number: int | None = None
    max_drop: float | None = None


def export(model: TorchModel, out: str | Path, options: ExportOptions) -> list[str]:
    """Writes a model as an ONNX file, after that was compared with the model on real images.

    Args:
        model: The model.
        out: The file; it is there when all comparisons have passed, and is what it was before if one fails.
        options: See there.

    Returns:
        The lines of a report.

    Raises:
        UserError: The model cannot be exported, there are no images, or the file does not do what the model does.
    """
    out = Path(out)
    images = _real_images(model, options)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.export-', dir=out.parent) as folder:
        file = Path(folder, out.name)
        report = _write(model, file, images, options)
        files = {name: _open(file, name) for name in installed_backends()}
        files = {name: opened for name, opened in files.items() if opened is not None}
        report += [_check(model, opened, name, images, options) for name, opened in files.items()]
        if options.dataset:
            report.append(_check_metrics(model, files['onnxruntime'], options))
        report += _table(latency_table(model, files, images[0][1]))
        os.replace(file, out)
    return [*report, f'{out}: {files["onnxruntime"].metadata["task"]}, opset {_opset(out)}']


def _real_images(model: TorchModel, options: ExportOptions) -> list[tuple[str, np.ndarray]]:
    """Names and pixels (BGR) of the images to check on."""
    if options.images is not None:
        paths = image_files(options.images)[: options.number]
    else:
        try:
            dataset = build_test_dataset(model.cfg)
            infos = [dataset.get_data_info(i) for i in spread_indices(dataset, options.number)]
            paths = [info.get('img_path') for info in infos]
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(
                f'test_dataloader.dataset: its images are what the file would be checked on, but {error}. Give others '
                'with --images FOLDER'
            ) from error
    images = [(Path(path).name, cv2.imread(str(path))) for path in paths]
    images = [(name, image) for name, image in images if image is not None]
    if not images:
        raise UserError('no images to check the file on; give a folder of real ones with --images FOLDER')
    if options.size:
        images = [(name, cv2.resize(image, tuple(reversed(options.size)))) for name, image in images]
    return images


def _write(model: TorchModel, file: Path, images: Sequence, options: ExportOptions) -> list[str]:
    slides = getattr(model.network, 'test_cfg', None) and model.network.test_cfg.get('mode') == 'slide'
    if slides and not options.size:
        raise UserError(
            "model.test_cfg.mode: 'slide' makes as many windows as the image is large, which a graph cannot; give the "
            'size of the images with --size HEIGHT WIDTH, or --cfg-options model.test_cfg.mode=whole'
        )
    whole = exported_model(model.network, model.cfg, options.colour)
    in_order = [image if options.colour == 'bgr' else image[..., ::-1] for _, image in images]
    example = torch.from_numpy(np.ascontiguousarray(in_order[0]))[None]
    metadata = metadata_of(whole, options=options, **model.metadata)
    data = to_onnx(whole, example, metadata, fixed_size=options.size is not None)
    file.write_bytes(data)
    if options.precision != 'float32':
        others = [cv2.imread(str(path)) for path in image_files(options.calibrate)] if options.calibrate else None
        used = in_order if others is None else [x if options.colour == 'bgr' else x[..., ::-1] for x in others]
        full = file.with_name('float32.onnx')
        os.replace(file, full)
        convert(full, file, options.precision, [np.ascontiguousarray(x)[None] for x in used])
    return []


def _open(file: Path, backend: str) -> OnnxModel | None:
    try:
        return OnnxModel(file, backend, threads())
    except Exception as error:  # OpenVINO lacks operators that onnxruntime has, and says so in many ways
        if backend == 'onnxruntime':
            raise UserError(f'onnxruntime cannot read the file: {str(error).splitlines()[0]}') from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in lines if 'No conversion' in line), ' '.join(lines[-2:]))
        warn(f'{backend} cannot read the file, and is left out: {reason[:300]}')
        return None


def _check(model: TorchModel, file: OnnxModel, backend: str, images: Sequence, options: ExportOptions) -> str:
    """Compares object by object.

    Raises:
        UserError: Too much is off; names what.
    """
    tolerance = TOLERANCES.get(options.precision, TOLERANCES['float16'])
    agreement = Agreement()
    for name, image in images:
        for view in views_of(image, options.size):
            label = f'{name} ({view.shape[0]} x {view.shape[1]})'
            compare(model.predict(view, 'bgr'), file.predict(view, 'bgr'), tolerance, agreement, label)
    what = 'objects' if file.metadata['task'] in ('detection', 'instances') else 'pixels'
    worst = ', '.join(f'{name} {value:.2g}' for name, value in agreement.worst.items())
    line = f'{backend}: {agreement.off} of {agreement.compared} {what} are off ({worst or "all others are equal"})'
    if agreement.compared == 0:
        raise UserError(
            f'{backend}: nothing was found in {len(images)} images, by the model or by the file: that shows nothing. '
            'Give images with objects (--images), or lower the threshold (--cfg-options model.test_cfg...)'
        )
    if options.precision != 'int8' and not agreement.passes(tolerance):
        problems = '\n  '.join(agreement.problems[:SHOWN])
        raise UserError(f'{line}: the file does not do what the model does, and is not kept\n  {problems}')
    return line


def _check_metrics(model: TorchModel, file: OnnxModel, options: ExportOptions) -> str:
    expected, given = evaluate_both(model, file, options.dataset_number)
    name, difference = largest_difference(expected, given)
    allowed = options.max_drop if options.max_drop is not None else MAX_DROP[options.precision]
    main = ', '.join(f'{key} {given[key]:.2f} (model {expected[key]:.2f})' for key in _main_metrics(expected))
    line = f'test set: {main}; largest difference {difference:.2f} points, of {name}'
    if not difference <= allowed + 1e-6:
        raise UserError(f'{line}: more than the {allowed} that are allowed, the file is not kept')
    return line


def _main_metrics(metrics: dict) -> list[str]:
    ends = ('bbox_mAP', 'segm_mAP', 'mIoU', 'mAP', 'rmse')
    return [key for key in metrics if key.split('/')[-1] in ends] or list(metrics)[:3]


def _table(rows: Sequence[tuple]) -> list[str]:
    head = ('runtime', 'size, MB', 'ms an image', 'PyTorch = 1')
    lines = [('| ' + ' | '.join(row) + ' |') for row in (head, ('---', '---:', '---:', '---:'), *rows)]
    return ['', *lines, '']


def _opset(path: Path) -> int:
    import onnx

    return onnx.load(path, load_external_data=False).opset_import[0].version
