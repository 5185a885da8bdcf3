"""Activation checkpointing changes the memory a network takes and nothing else."""

import copy

import pytest
import torch
from torch import nn

from mmkd.models.backbones import (
    DLA,
    BlockPaddedMobileNetV2,
    DilatedMobileNetV2,
    DilatedResNet,
    MobileNetV2,
    VoVNet,
)
from mmkd.models.utils import recompute

NETWORKS = {
    'DLA': lambda **kwargs: DLA(34, **kwargs),
    'VoVNet': lambda **kwargs: VoVNet('V-19-slim-dw-eSE', norm_eval=False, **kwargs),
    'DilatedResNet': lambda **kwargs: DilatedResNet(18, **kwargs),
    'MobileNetV2': MobileNetV2,
    'DilatedMobileNetV2': DilatedMobileNetV2,
    'BlockPaddedMobileNetV2': BlockPaddedMobileNetV2,
}


@pytest.mark.filterwarnings('error::UserWarning:torch.utils.checkpoint')
@pytest.mark.parametrize('name', NETWORKS)
def test_values_gradients_and_statistics_are_those_without_it(name):
    plain, recomputing = NETWORKS[name](), NETWORKS[name](with_cp=True)
    recomputing.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    outs = []
    for model in (plain, recomputing):
        model.train()
        outs.append(model(x)[-1])
        outs[-1].square().sum().backward()
    assert recomputing.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(outs[1], outs[0], rtol=0, atol=0)
    for (key, a), b in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        if a.grad is None:  # of a level that no output depends on
            assert b.grad is None
        else:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-5, atol=1e-6 * float(a.grad.abs().max()), msg=key)
    for (key, a), b in zip(plain.named_buffers(), recomputing.buffers(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.parametrize('name', NETWORKS)
def test_activations_are_not_kept(name):
    saved = {}
    for with_cp in (False, True):
        model, numbers = NETWORKS[name](with_cp=with_cp), []
        model.train()

        def keep(tensor, numbers=numbers):
            numbers.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(torch.randn(2, 3, 64, 64))
        saved[with_cp] = sum(numbers)
    assert saved[True] < 0.75 * saved[False]


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
