"""What holds for every network: see :class:`helpers.networks.Network` for what is said of each."""

import copy
import io
from collections.abc import Callable

import pytest
import torch
from helpers.golden import assert_matches_golden
from helpers.networks import EVEN, NETWORKS, ODD, build, flat
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import mmkd.models

NO_NETWORKS = ('InstanceTTAModel',)  # it puts together what a detector finds


def those(**attributes):
    """Parametrizes with the networks of which this is said: a value, or anything of its type that is not empty."""

    def fits(value, wanted):
        return isinstance(value, wanted) and bool(value) if isinstance(wanted, type) else value == wanted

    chosen = [n for n, network in NETWORKS.items() if all(fits(getattr(network, a), v) for a, v in attributes.items())]
    return pytest.mark.parametrize('name', chosen)


every_network = those()


@pytest.fixture
def network(name):
    network = NETWORKS[name]
    if network.needs:
        pytest.importorskip(network.needs)
    torch.manual_seed(1)
    return network


def in_eval_mode(network, **options):
    return build(network, **options).eval()


def mapped(function, x):
    """The function on each tensor of floating-point numbers in nested lists; what else there is stays."""
    if isinstance(x, torch.Tensor):
        return function(x) if x.is_floating_point() else x
    return [mapped(function, part) for part in x] if isinstance(x, (list, tuple)) else x


def exact(network):
    """A network and inputs for comparisons in double precision.

    The norms are as after some training: where a map is constant, one that has no shift gives zeros, and which side of
    the next ReLU's bend they lie on is chance.
    """
    model, inputs = build(network), list(network.inputs(*EVEN))
    for norm in norms(model):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.5)
    return (model.double(), mapped(torch.Tensor.double, inputs)) if network.double else (model, inputs)


def loss_of(outputs):
    """Something that every output has a part in, with another weight for each number."""
    generator = torch.Generator().manual_seed(2)
    return sum((x.double() * torch.randn(x.shape, generator=generator)).mean() for x in flat(outputs))


def trained(model, inputs):
    """The outputs of a training step."""
    outputs = model(*inputs)
    loss_of(outputs).backward()
    return [x.detach() for x in flat(outputs)]


def assert_all_close(ours, expected, **tolerance):
    for a, b in zip(flat(ours), flat(expected), strict=True):
        own = dict(rtol=1e-6, atol=1e-8) if b.dtype == torch.double else dict(rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(a, b, **(tolerance or own))


def assert_same_training(first, second):
    """Both have the same gradients and the same running statistics."""
    scale = max((float(p.grad.abs().max()) for p in first.parameters() if p.grad is not None), default=0.0)
    for (key, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        if a.grad is None:  # frozen, or of a level that no output depends on
            assert b.grad is None, key
        else:  # what a norm takes away is a gradient of nothing but rounding
            rtol, atol = (1e-6, 1e-9) if a.dtype == torch.double else (1e-3, 1e-5)
            torch.testing.assert_close(b.grad, a.grad, rtol=rtol, atol=atol * scale, msg=key)
    assert_all_close(list(second.buffers()), list(first.buffers()))


def norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


# ------------------------------------------------------------------------------------------------------------ the table


def test_every_network_has_an_entry():
    public = {name: value for name, value in vars(mmkd.models).items() if name in mmkd.models.__all__}
    classes = {name for name, value in public.items() if isinstance(value, type) and issubclass(value, nn.Module)}
    assert {name for name in classes if not name.endswith('Loss')} - set(NO_NETWORKS) <= set(NETWORKS)


# -------------------------------------------------------------------------------------------------------------- values


@every_network
def test_outputs_have_their_shapes_and_every_parameter_learns(network):
    model, inputs = build(network), network.inputs(*EVEN)
    before = copy.deepcopy(inputs)
    outputs = trained(model, inputs)
    assert tuple(tuple(x.shape) for x in outputs) == network.shapes
    assert all(x.isfinite().all() for x in outputs)
    gradients = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
    assert gradients.keys() == dict(model.named_parameters()).keys()
    assert [key for key, gradient in gradients.items() if gradient is None] == []
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients.values())
    assert_all_close(inputs[0], before[0], rtol=0, atol=0)


@those(golden=Callable)
def test_it_computes_what_the_original_does(network):
    for actual, expected in network.golden():
        assert_matches_golden(actual, expected)


@those(odd_sizes=tuple)
def test_images_of_odd_sizes(network):
    with torch.no_grad():
        outputs = flat(in_eval_mode(network)(*network.inputs(*ODD)))
    assert tuple(tuple(x.shape[2:]) for x in outputs) == network.odd_sizes


@those(odd_sizes=str)
def test_odd_sizes_are_refused_by_name(network):
    with pytest.raises(ValueError, match=network.odd_sizes):
        build(network)(*network.inputs(*ODD))


@every_network
def test_a_saved_network_gives_the_same_again(network):
    model, inputs = build(network), network.inputs(*EVEN)
    model(*inputs)  # statistics of its own
    model.eval()
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = in_eval_mode(network, seed=3)
    other.load_state_dict(torch.load(file, weights_only=True), strict=True)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        expected = model(*inputs)
        for again in (other, twin):
            assert_all_close(again(*inputs), expected, rtol=0, atol=0)


@every_network
def test_memory_may_lie_in_channels_last_order(network):
    def reordered(x):
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    model, inputs = exact(network)
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    ours, expected = trained(other, mapped(reordered, inputs)), trained(model, inputs)
    assert_all_close(ours, expected)
    assert_same_training(model, other)


# ------------------------------------------------------------------------------------------------------------ precision


@every_network
def test_it_trains_under_autocast(network):
    model, inputs = build(network), network.inputs(*EVEN)
    with torch.autocast('cpu', torch.bfloat16):
        outputs = flat(model(*inputs))
        loss = loss_of(outputs)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


def similarity(a, b):
    return torch.cosine_similarity(a.float().flatten(), b.float().flatten(), dim=0)


@those(half=True)
def test_outputs_in_bfloat16_are_close(network):
    model, inputs = in_eval_mode(network), network.inputs(*EVEN)

    with torch.no_grad():
        expected = flat(model(*inputs))
        ours = flat(model.bfloat16()(*mapped(torch.Tensor.bfloat16, inputs)))
    for a, b in zip(ours, expected, strict=True):
        assert similarity(a, b) > 0.99


# ----------------------------------------------------------------------------------------------------- training options


@pytest.mark.filterwarnings('error::UserWarning:torch.utils.checkpoint')
@those(with_cp=True)
def test_recomputing_activations_changes_the_memory_and_nothing_else(network):
    (plain, inputs), recomputing = exact(network), build(network, with_cp=True).double()
    assert recomputing.state_dict().keys() == plain.state_dict().keys()
    recomputing.load_state_dict(plain.state_dict())
    outputs, kept = [], []
    for model in (plain, recomputing):
        numbers = []

        def keep(tensor, numbers=numbers):
            numbers.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs.append(trained(model, inputs))
        kept.append(sum(numbers))
    assert_all_close(*outputs, rtol=0, atol=0)
    assert_same_training(plain, recomputing)
    assert kept[1] < 0.75 * kept[0]


@those(frozen=tuple)
def test_frozen_stages_keep_their_weights_and_statistics(network):
    model = network.make(frozen_stages=1)
    frozen = tuple(f'{name}.' for name in network.frozen)
    for _ in range(2):  # as it is built, where DistributedDataParallel looks, and after train()
        learning = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
        assert learning == {key for key, _ in model.named_parameters() if not key.startswith(frozen)}
        model.train()
    before = {key: value.clone() for key, value in model.named_buffers()}
    model(*network.inputs(*EVEN))
    moved = {key for key, value in model.named_buffers() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if not key.startswith(frozen)}


@those(norm_eval=True)
def test_norm_eval_keeps_all_statistics_and_lets_everything_learn(network):
    model = build(network, norm_eval=True)
    before = {key: value.clone() for key, value in model.named_buffers()}
    trained(model, network.inputs(*EVEN))
    assert norms(model) and not any(norm.training for norm in norms(model))
    assert all(torch.equal(value, before[key]) for key, value in model.named_buffers())
    assert all(parameter.requires_grad for parameter in model.parameters())


@every_network
def test_batch_norms_become_synchronised_ones_and_back(network):
    model, inputs = exact(network)
    converted = convert_sync_batchnorm(copy.deepcopy(model), 'torch')
    converted.train()  # what keeps norms in eval mode says so again
    kinds = [type(norm) for norm in norms(converted)]
    assert kinds == [nn.SyncBatchNorm] * len(norms(model))
    assert_all_close(trained(converted, inputs), trained(model, inputs))
    reverted = revert_sync_batchnorm(converted)
    assert not any(isinstance(norm, nn.SyncBatchNorm) for norm in norms(reverted))
    reverted.eval(), model.eval()
    with torch.no_grad():
        assert_all_close(reverted(*inputs), model(*inputs))


# --------------------------------------------------------------------------------------------------------------- graphs


@pytest.mark.slow
@every_network
def test_a_compiled_network_trains_the_same(network):
    """The graphs that ``torch.compile`` makes are run as they are: to turn them into C++ is torch's own affair."""
    model, inputs = exact(network)
    twin = copy.deepcopy(model)
    torch.compiler.reset()
    compiled = torch.compile(twin, backend='aot_eager', fullgraph=network.graph, dynamic=False)
    assert_all_close(trained(compiled, inputs), trained(model, inputs))
    assert_same_training(model, twin)


@pytest.mark.slow
@those(export='')
def test_an_exported_network_computes_the_same(network):
    model, (example, other) = in_eval_mode(network), [network.inputs(*EVEN) for _ in range(2)]
    with torch.no_grad():
        exported = torch.export.export(model, example).module()
        assert_all_close(exported(*other), model(*other))


@those(export=str)
def test_export_is_refused_in_one_sentence(network):
    with pytest.raises(NotImplementedError, match=network.export):
        torch.export.export(in_eval_mode(network), network.inputs(*EVEN))


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@those(traced=True)
def test_a_traced_network_computes_the_same_on_images_of_another_size(network):
    model, (height, width) = in_eval_mode(network), EVEN
    with torch.no_grad():
        traced = torch.jit.trace(model, network.inputs(height, width), check_trace=False)
        other = network.inputs(2 * height, width)
        assert_all_close(traced(*other), model(*other))
