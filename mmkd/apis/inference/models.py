"""A model that predicts, whatever kind of file it comes from."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.apis.config import apply_cfg_options, read_config
from mmkd.apis.errors import user_errors
from mmkd.apis.export.pipelines import step_name, test_dataset, test_pipeline
from mmkd.apis.export.runtime import OnnxModel, Prediction
from mmkd.registry import TRANSFORMS
from mmkd.utils.checkpoint import load_checkpoint_file
from mmkd.utils.errors import UserError
from mmkd.utils.setup_env import register_all_modules
from mmkd.utils.student import student_of
from mmkd.visualization.trained import build_network, load_network

from .literal_config import literal_config

__all__ = ['TorchModel', 'classes_of', 'config_and_checkpoint', 'open_model']


class TorchModel:
    """A trained network with the preparation of images that its config has.

    Args:
        cfg: The whole config; of a distillation config the student counts.
        checkpoint: A full or a student-only checkpoint.
        device: Where it runs.

    Attributes:
        network: The network, in eval mode.
        cfg: The config, with the plain student.
        metadata: ``classes`` and ``palette``.

    Raises:
        UserError: The config has no test pipeline, or the network cannot be built.
        CheckpointError: The checkpoint does not fit.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str = 'cpu'):
        register_all_modules(init_default_scope=False)
        self.cfg = student_of(cfg)
        with user_errors('building the model', self.cfg):
            self.network: nn.Module = load_network(build_network(self.cfg), checkpoint, device)
        self._scope = self.cfg.get('default_scope', 'mmdet')
        classes, palette = classes_of(self.cfg)
        self.metadata = dict(classes=classes, palette=palette)
        with DefaultScope.overwrite_default_scope(self._scope):
            self._prepare = Compose([TRANSFORMS.build(step) for step in _steps_for_arrays(self.cfg)])

    def predict(self, image: np.ndarray, colour: str = 'rgb') -> Prediction:
        """What is found in an image (H, W, 3) uint8."""
        bgr = np.ascontiguousarray(image if colour == 'bgr' else image[..., ::-1])
        with DefaultScope.overwrite_default_scope(self._scope):
            data = self._prepare(dict(img=bgr, img_id=0, img_path=''))
        with torch.no_grad():
            (sample,) = self.network.test_step(pseudo_collate([data]))
        return prediction_of_sample(sample.cpu())


def prediction_of_sample(sample: Any) -> Prediction:
    """What a data sample of mmdet, mmseg or a depth model says, as arrays."""
    if 'pred_depth_map' in sample:
        return Prediction(depth=sample.pred_depth_map.data[0].numpy())
    if 'pred_sem_seg' in sample:
        return Prediction(classes=sample.pred_sem_seg.data[0].numpy().astype(np.int32))
    found = sample.pred_instances
    arrays = {name: found[name].numpy() for name in ('scores', 'labels', 'masks', 'mask_scores') if name in found}
    return Prediction(boxes=found.bboxes.numpy(), **arrays)


def open_model(
    paths: Sequence[str], device: str = 'cpu', threads: int = 0, cfg_options: dict | None = None
) -> TorchModel | OnnxModel:
    """The model of the files on the command line.

    Args:
        paths: A config and a checkpoint; or a student-only file, which carries its config; or an exported file.
        device: Where PyTorch runs.
        threads: Of onnxruntime.
        cfg_options: Keys of the config that are overridden.

    Raises:
        UserError: A file is missing or is none of these.
    """
    if len(paths) == 1 and paths[0].endswith('.onnx'):
        if not Path(paths[0]).is_file():
            raise UserError(f'model: {paths[0]!r} is not a file (looked for from {Path.cwd()})')
        if cfg_options:
            raise UserError(f'--cfg-options: {paths[0]} is as it was exported, nothing can be set in it any more')
        with user_errors(f'model {paths[0]}', kinds=(Exception,)):
            return OnnxModel(paths[0], threads=threads)
    cfg, checkpoint = config_and_checkpoint(paths)
    apply_cfg_options(cfg, cfg_options)
    return TorchModel(cfg, checkpoint, device)


def config_and_checkpoint(paths: Sequence[str]) -> tuple[Config, str]:
    """The config and the checkpoint that are named by two paths, or by that of a checkpoint alone.

    Raises:
        UserError: A file is missing, or there is no config in the checkpoint.
    """
    if len(paths) == 2:
        return read_config(paths[0]), paths[1]
    if len(paths) != 1 or paths[0].endswith(('.py', '.json', '.yaml', '.yml')):
        raise UserError(
            f'model: got {", ".join(paths)}; expected CONFIG CHECKPOINT, a student-only file (iter_100_student.pth), '
            'which carries its config, or a file that mmkd export wrote (.onnx)'
        )
    meta = load_checkpoint_file(paths[0]).get('meta') or {}
    if not isinstance(meta.get('cfg'), str):
        raise UserError(f'{paths[0]}: there is no config in it; name its config first: CONFIG {paths[0]}')
    return literal_config(meta['cfg'], paths[0]), paths[0]


def classes_of(cfg: Config) -> tuple[list[str], list | None]:
    """Names of the classes of the test set, and an RGB colour for each where the data set has some."""
    from mmkd.registry import DATASETS

    config = test_dataset(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
        kind = DATASETS.get(config['type']) if isinstance(config['type'], str) else config['type']
    metainfo = {**(getattr(kind, 'METAINFO', None) or {}), **(config.get('metainfo') or {})}
    classes, palette = metainfo.get('classes') or (), metainfo.get('palette')
    classes = [classes] if isinstance(classes, str) else list(classes)
    return classes, [list(colour) for colour in palette] if palette and len(palette) == len(classes) else None


def _steps_for_arrays(cfg: Config) -> list[dict]:
    """The test pipeline for images that are in memory and have no labels."""
    steps = []
    for step in copy.deepcopy(test_pipeline(cfg)):
        name = step_name(step)
        if name.startswith('LoadImageFrom'):
            step = dict(type=f'{cfg.get("default_scope", "mmdet")}.LoadImageFromNDArray')
        elif name.startswith('Load'):
            continue
        steps.append(step)
    return steps
