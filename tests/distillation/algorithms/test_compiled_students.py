"""A compiled student is recorded as it is: what the taps hold are real tensors, and the numbers are the same."""

import pytest
import torch
from helpers.distillation_toys import toy, two_losses
from mmengine.optim import OptimWrapper

from mmkd.distillation.algorithms import DenseDistill

# two of these are written over in place, by a ReLU and by a residual sum
TAPS = {name: f'backbone.{name}' for name in ('bn', 'residual', 'dropout')}
MSE = dict(type='FeatureMSELoss')
DISTILL = {**two_losses(), **{n: dict(taps=tap, connector='conv1x1', loss=MSE) for n, tap in TAPS.items()}}
BACKEND = dict(backend='aot_eager')  # the graphs of inductor, without its C++ compiler


def compile_nothing(algorithm):
    pass


def compile_the_student(algorithm):
    algorithm.student.compile(**BACKEND)


def compile_its_forward(algorithm):
    algorithm.student.forward = torch.compile(algorithm.student.forward, **BACKEND)


def compile_the_step(algorithm):
    """What mmengine does with ``compile=True`` in the config."""
    algorithm.train_step = torch.compile(algorithm.train_step, **BACKEND)


def losses_of_four_steps(compile):
    torch.manual_seed(0)
    teacher = dict(toy(channels=8, out_channels=10), allow_random=True)
    algorithm = DenseDistill(toy(out_channels=6, dropout=0.0), teacher, DISTILL, dry_run=dict(size=(32, 32)))
    algorithm.init_weights()
    compile(algorithm.train())
    optimizer = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    logs = []
    for seed in range(4):
        images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        logs.append(algorithm.train_step(dict(inputs=images, data_samples=None), optimizer))
    assert not any(recorder.data_buffer for recorder in algorithm.student_recorders.recorders.values())
    return [{name: float(value) for name, value in log.items()} for log in logs]


@pytest.mark.slow
@pytest.mark.parametrize('compile', [compile_the_student, compile_its_forward, compile_the_step])
def test_a_compiled_student_learns_what_it_learns_without(compile):
    torch._dynamo.reset()
    expected = losses_of_four_steps(compile_nothing)
    for found, wanted in zip(losses_of_four_steps(compile), expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)
