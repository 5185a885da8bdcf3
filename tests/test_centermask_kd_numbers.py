"""The terms of the shipped configs give the numbers of CenterMask_KD."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmkd.distillation.algorithms  # noqa: F401  registers the distiller
from mmkd.distillation.recipes.short_form import compile_short_form, parse_short_form
from mmkd.registry import MODELS

KD = Path(__file__).parents[1] / 'configs/kd/centermask_kd'


@pytest.fixture(scope='module')
def records():
    """Class logits of five levels and five features, of student and teacher, in the order the original drew them."""
    generator = torch.Generator().manual_seed(0)
    logits = [[torch.randn(2, 5, s, s, generator=generator) for s in (8, 4, 2, 1, 1)] for _ in range(2)]
    shapes = ((2, 4, 16, 16), (2, 6, 8, 8), (2, 8, 4, 4), (2, 10, 2, 2), (2, 7, 1, 1))
    features = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]
    return dict(cls=logits, correlation=features, mse=features)


@pytest.mark.parametrize(
    ('config', 'term', 'value'),
    [
        ('head-kl', 'cls', 3.5231263637542725),
        ('head-kl', 'cls-ce', 9.89480209350586),
        ('head-kl-corr', 'correlation', 1.0160914659500122 / 5),
        ('head-kl-mse', 'mse', 10.604676246643066 / 5),
    ],
)
def test_numbers_of_centermask_kd(config, term, value, records):
    distill = Config.fromfile(KD / f'centermask-v19_centermask-lite-v19_4x_coco_{config}.py').model.distill
    if term.endswith('-ce'):  # an option of the README
        term = term.removesuffix('-ce')
        distill[term].loss.mode = 'ce'
    # without the connector: these features have equally many channels
    distiller = MODELS.build(compile_short_form(parse_short_form({term: distill[term]}), {}))
    managers = (distiller.student_recorders, distiller.teacher_recorders)
    for manager, tensors in zip(managers, records[term], strict=True):
        recorders = list(manager.recorders.values())
        if len(recorders) == 1:  # one module, called once for each level
            recorders[0].data_buffer.extend(tensors)
        else:
            for recorder, tensor in zip(recorders, tensors, strict=True):
                recorder.data_buffer.append(tensor)
    (loss,) = distiller.compute_distill_losses().values()
    assert loss.item() == pytest.approx(value, rel=1e-5)
