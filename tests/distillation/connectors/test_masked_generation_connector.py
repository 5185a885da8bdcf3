"""The generator of MGD: its masks, and that it is trained."""

import copy

import pytest
import torch
from helpers.distillation_runs import run_config, scalars, teacher, train  # noqa: F401
from torch.nn import functional as F

from mmkd.compat import import_mmrazor
from mmkd.distillation.connectors import MaskedGenerationConnector, build_connector
from mmkd.distillation.connectors import masked_generation as module


def masks(connector, steps, shape=(2, 3, 6, 5)):
    """The masks of successive steps, seen by what reaches the first convolution."""
    seen = []
    hook = connector.generation[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    for _ in range(steps):
        connector(torch.ones(shape))
    hook.remove()
    return seen


def test_the_formula():
    connector = MaskedGenerationConnector(3, 4)
    feature = torch.randn(2, 3, 6, 5)
    aligned = F.conv2d(feature, connector.align.weight, connector.align.bias)
    mask = masks(copy.deepcopy(connector), 1)[0] != 0  # of ones past the 1x1 convolution, in any channel
    masked = torch.where(mask.any(1, keepdim=True), aligned, 0.0)
    first, _, second = connector.generation
    hidden = F.conv2d(masked, first.weight, first.bias, padding=1).clamp(min=0)
    expected = F.conv2d(hidden, second.weight, second.bias, padding=1)
    torch.testing.assert_close(connector(feature), expected)
    assert 0 < mask.float().mean() < 1


@pytest.mark.parametrize('ratio', [0.0, 0.45, 0.75])
def test_the_ratio_of_positions_is_masked_in_all_channels(ratio):
    (masked,) = masks(MaskedGenerationConnector(3, 3, mask_ratio=ratio), 1, (4, 3, 50, 50))
    assert ((masked == 0) | (masked == 1)).all()
    assert (masked == masked[:, :1]).all()
    assert (masked == 0).float().mean().item() == pytest.approx(ratio, abs=0.02)


def test_whole_channels_are_masked_where_asked_for():
    (masked,) = masks(MaskedGenerationConnector(200, 200, mask_ratio=0.5, mask_on='channel'), 1, (4, 200, 2, 3))
    assert (masked == masked[:, :, :1, :1]).all()
    assert (masked == 0).float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_masks_differ_from_step_to_step_and_are_the_same_in_every_run():
    one, other = (masks(MaskedGenerationConnector(3, 3), 3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], one[1]) and not torch.equal(one[1], one[2])
    assert not torch.equal(one[0], masks(MaskedGenerationConnector(3, 3, seed=1), 1)[0])


def test_masks_differ_between_processes_and_sizes(monkeypatch):
    here = masks(MaskedGenerationConnector(3, 3), 1)[0]
    larger = masks(MaskedGenerationConnector(3, 3), 1, (2, 3, 6, 6))[0]
    assert not torch.equal(here[0, 0].flatten(), larger[0, 0].flatten()[:30])
    monkeypatch.setattr(module, 'get_rank', lambda: 1)
    assert not torch.equal(here, masks(MaskedGenerationConnector(3, 3), 1)[0])


def test_the_random_numbers_of_the_run_stay_as_they_are():
    connector = MaskedGenerationConnector(3, 3)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    connector(torch.ones(1, 3, 4, 4))
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_goes_on_with_the_masks():
    connector = MaskedGenerationConnector(3, 3)
    masks(connector, 2)
    resumed = MaskedGenerationConnector(3, 3)
    resumed.load_state_dict(connector.state_dict())
    assert torch.equal(masks(resumed, 1)[0], masks(connector, 1)[0])


def test_looking_at_it_does_not_count_as_a_step():
    connector = MaskedGenerationConnector(3, 3).eval()
    one, other = masks(connector, 2)
    assert torch.equal(one, other)


def test_half_precision_stays():
    connector = MaskedGenerationConnector(2, 3)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert connector(torch.ones(1, 2, 4, 4)).dtype == torch.bfloat16


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match='mask_ratio: expected 0 <= ratio < 1, but got 1'):
        MaskedGenerationConnector(3, 3, mask_ratio=1)
    with pytest.raises(ValueError, match="mask_on: .* 'batch'"):
        MaskedGenerationConnector(3, 3, mask_on='batch')


def test_mmrazors_generator_gets_its_channels_too():
    import_mmrazor()
    ours = build_connector(dict(type='MaskedGenerationConnector'), 3, 4)
    theirs = build_connector(dict(type='mmrazor.MGDConnector'), 3, 4)
    weights = {key: value for key, value in ours.state_dict().items() if not key.endswith('_extra_state')}
    assert {key: value.shape for key, value in weights.items()} == {
        key: value.shape for key, value in theirs.state_dict().items()
    }


def mgd(**options):
    connector = dict(type='MaskedGenerationConnector')
    entry = dict(taps='neck', connector=connector, loss=dict(type='MGDLoss', weight=1.0))
    return dict(model=dict(distill=dict(_delete_=True, mgd=entry), student=dict(dropout=0.0)), **options)


@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook', momentum=0.3)]], ids=['plain', 'moving average'])
def test_generators_are_trained_and_a_resumed_run_is_the_uninterrupted_one(teacher, hooks):  # noqa: F811
    straight = train(run_config('straight', teacher, epochs=3, **mgd(custom_hooks=hooks)))
    generators = [key for key, _ in straight.model.named_parameters() if 'distiller.connectors.mgd' in key]
    assert len(generators) == 3 * 6  # levels; three convolutions with biases
    history = scalars(straight, 'train/distill.loss_mgd')
    assert history[-1] < history[0]

    train(run_config('parts', teacher, epochs=2, **mgd(custom_hooks=hooks)))
    resumed = train(run_config('parts', teacher, epochs=3, resume=True, **mgd(custom_hooks=hooks)))
    assert scalars(resumed, 'train/distill.loss_mgd')[-3:] == history[-3:]
    for key, value in straight.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key
