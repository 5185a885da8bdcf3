"""Activation checkpointing of a module; that of the networks is tested with the rest of what they do."""

import copy

import pytest
import torch
from torch import nn

from mmkd.models.utils import recompute


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        return self.norm(x) ** 2


def calls_of(module):
    calls = []
    module.register_forward_hook(lambda *args: calls.append(1))
    return calls


def test_hooks_on_the_module_run_once_and_those_inside_again():
    block = Block()
    recompute(block)
    own, inner = calls_of(block), calls_of(block.norm)
    block(torch.randn(2, 2, 3, 3, requires_grad=True)).sum().backward()
    assert (len(own), len(inner)) == (1, 2)


@pytest.mark.parametrize('how', ['eval', 'no_grad'])
def test_without_training_nothing_runs_twice(how):
    block = Block().train(how != 'eval')
    recompute(block)
    inner = calls_of(block.norm)
    with torch.set_grad_enabled(how != 'no_grad'):
        out = block(torch.randn(2, 2, 3, 3))
    if how == 'eval':
        out.sum().backward()
    assert len(inner) == 1


def test_a_copy_runs_its_own_modules():
    block = Block()
    recompute(block)
    twin = copy.deepcopy(block)
    twin(torch.randn(2, 2, 3, 3)).sum().backward()
    assert twin.norm.weight.grad is not None
    assert block.norm.weight.grad is None
    assert (int(block.norm.num_batches_tracked), int(twin.norm.num_batches_tracked)) == (0, 1)
