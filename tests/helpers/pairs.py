"""Pairs of shipped configs, made small, and one step of distillation between them.

``PYTHONPATH=tests python -m helpers.pairs`` tries all of tests/data/pairs.txt and writes the table of docs/pairs.md.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData, PixelData

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.teacher.network import build_network
from mmkd.distillation.teacher.random_weights import without_pretrained
from mmkd.utils.model_config import resolve_network

SIDE = 160  # of the images; a pair may have another
ROOT = Path(__file__).parents[2]
ABOUT = """# Pairs of networks that were tried

Each line is a pair of configs as mmdet and mmseg ship them, made shallow, with random weights and
`distill='auto'`: one step in which all losses are finite and the distillation reaches the student and not the teacher,
and one prediction. What does not work says why. The table is written by `tests/helpers/pairs.py`, which tries what
`tests/test_pairs.py` does.

"""


def pairs() -> list[tuple[str, str, int]]:
    """Student, teacher, and side of the images of each."""
    lines = (ROOT / 'tests/data/pairs.txt').read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith('#')]
    return [(student, teacher, int(side)) for student, teacher, side in rows]


@contextmanager
def shallow_networks() -> Iterator[None]:
    """One block a stage in ResNet and what derives from it, in mmdet and in mmseg, where they are built inside."""
    import mmdet.models.backbones
    import mmseg.models.backbones

    with ExitStack() as stack:
        for package in (mmdet.models.backbones, mmseg.models.backbones):
            for cls in vars(package).values():
                settings = vars(cls).get('arch_settings') if isinstance(cls, type) else None
                if isinstance(settings, dict):
                    stack.enter_context(mock.patch.dict(settings, _one_block_a_stage(settings)))
        yield


def _one_block_a_stage(settings: dict) -> dict:
    return {
        depth: (value[0], tuple(1 for _ in value[1]))
        for depth, value in settings.items()
        if isinstance(value, tuple) and len(value) == 2 and all(isinstance(n, int) for n in value[1])
    }


def small_config(config: str, side: int) -> ConfigDict:
    """The network of a shipped config for square images, with fewer layers where its config says how many."""
    model = without_pretrained(resolve_network(dict(cfg_path=config), 'student'))
    _shrink(model, side)
    preprocessor = model.get('data_preprocessor') or {}
    preprocessor.pop('batch_augments', None)
    if 'size' in preprocessor:
        preprocessor['size'] = (side, side)
    preprocessor.pop('size_divisor', None)
    if isinstance(model.get('test_cfg'), dict) and model.test_cfg.get('mode') == 'slide':
        model.test_cfg = ConfigDict(mode='whole')
    return model


def _shrink(node: Any, side: int) -> None:
    for name, value in list(node.items()) if isinstance(node, dict) else ():
        if name == 'img_size':
            node[name] = (side, side) if isinstance(value, (tuple, list)) else side
        elif name in ('depths', 'num_blocks', 'num_layers') and isinstance(value, (tuple, list)):
            node[name] = type(value)(1 for _ in value)
        elif name == 'num_layers' and isinstance(value, int) and value > 4 and 'out_indices' not in node:
            node[name] = 2
        elif name in ('nms_pre', 'max_per_img', 'nms_post') and isinstance(value, int):
            node[name] = min(value, 100)
        else:
            _shrink(value, side)
    for value in node if isinstance(node, (list, tuple)) else ():
        _shrink(value, side)


def build(config: str, side: int = SIDE, seed: int = 0) -> torch.nn.Module:
    """A small network with random weights."""
    logging.disable(logging.WARNING)
    try:
        torch.manual_seed(seed)
        with shallow_networks():
            network = build_network(small_config(config, side))
        network.init_weights()
    finally:
        logging.disable(logging.NOTSET)
    return network


@lru_cache(maxsize=4)
def teacher(config: str, side: int = SIDE) -> torch.nn.Module:
    """A teacher, which several pairs in turn share."""
    return build(config, side, seed=1)  # other weights than a student that is built alike


def batch(student: torch.nn.Module, side: int, images: int = 2) -> dict[str, Any]:
    """Images of noise with boxes, masks, label maps and proposals, as a data loader gives them."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmseg.structures import SegDataSample

    shape = (side, side)
    metainfo = dict(
        img_shape=shape, ori_shape=shape, pad_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0), img_id=0,
        flip=False, img_path='',
    )  # fmt: skip
    boxes = torch.tensor([[10.0, 20.0, 60.0, 90.0], [50.0, 40.0, 115.0, 80.0]])
    masks = np.zeros((2, *shape), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    kind = SegDataSample if hasattr(student, 'decode_head') else DetDataSample
    samples = []
    for index in range(images):
        sample = kind(metainfo=dict(metainfo, img_id=index))
        labels = torch.zeros(2, dtype=torch.long)
        sample.gt_instances = InstanceData(bboxes=boxes.clone(), labels=labels, masks=BitmapMasks(masks, *shape))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        if not hasattr(student, 'rpn_head'):  # Fast R-CNN
            sample.proposals = InstanceData(bboxes=boxes + 3, scores=torch.ones(2))
        label_map = torch.zeros(1, *shape, dtype=torch.long)
        label_map[:, 32:96, 32:96] = min(1, (getattr(student, 'num_classes', None) or 2) - 1)
        sample.gt_sem_seg = PixelData(data=label_map) if kind is SegDataSample else PixelData(sem_seg=label_map)
        sample.gt_edge_map = PixelData(data=(label_map > 0).long())
        sample.gt_depth_map = PixelData(data=torch.rand(1, *shape) * 5 + 1)
        samples.append(sample)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8, generator=generator) for _ in range(images)]
    return dict(inputs=inputs, data_samples=samples)


def distil_once(student_config: str, teacher_config: str, side: int = SIDE, recipe: Any = 'auto') -> DenseDistill:
    """One step and one prediction of a small student with a small teacher.

    Asserts that the losses are finite, that the distillation reaches the student and not the teacher, and that the
    student predicts.
    """
    network, taught_by = build(student_config, side), teacher(teacher_config, side)
    algorithm = DenseDistill(network, dict(model=taught_by), recipe, dry_run=dict(size=(side, side)))
    algorithm.prepare()
    algorithm.train()
    for name in ('iter', 'epoch'):  # by which some losses warm up
        MessageHub.get_current_instance().update_info(name, 0)
    data = algorithm.data_preprocessor(batch(network, side), training=True)
    losses = algorithm(**data, mode='loss')
    taught = {name: value for name, value in losses.items() if name.startswith('distill.')}
    assert taught, 'there is no distillation loss'
    for name, value in losses.items():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            assert torch.isfinite(item).all(), f'{name} is {item}'
    sum(taught.values()).backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert gradients and all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().sum() > 0 for gradient in gradients), 'the student gets no gradient'
    assert not any(p.grad is not None or p.requires_grad for p in taught_by.parameters())
    algorithm.eval()
    with torch.no_grad():
        results = algorithm(**algorithm.data_preprocessor(copy.deepcopy(batch(network, side, 1))), mode='predict')
    assert len(results) == 1
    return algorithm


def row(student_config: str, teacher_config: str, side: int) -> tuple[str, str]:
    """The losses of a pair, or none, and what the table says of it."""
    try:
        algorithm = distil_once(student_config, teacher_config, side)
    except Exception as error:  # whatever it is, the table says it
        return '', f'{type(error).__name__}: {" ".join(str(error).split())[:160]}'
    return ', '.join(name.removeprefix('loss_') for name in algorithm.distiller.names), 'works'


def table(rows: list[tuple[str, str, str, str]]) -> str:
    """The page: student, teacher, losses and result of each pair."""
    lines = [f'| `{s}` | `{t}` | {losses} | {result} |' for s, t, losses, result in rows]
    works = sum(result == 'works' for *_, result in rows)
    head = '| student | teacher | losses | |\n| --- | --- | --- | --- |\n'
    return f'{ABOUT}{works} of {len(rows)} pairs work.\n\n{head}' + '\n'.join(lines) + '\n'


if __name__ == '__main__':
    found = [(student, teacher, *row(student, teacher, side)) for student, teacher, side in pairs()]
    (ROOT / 'docs/pairs.md').write_text(table(found))
