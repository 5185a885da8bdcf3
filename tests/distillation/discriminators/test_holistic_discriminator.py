import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd.distillation.discriminators import HolisticDiscriminator, SelfAttention

GOLDENS = Path(__file__).parents[2] / 'data' / 'goldens' / 'skd.npz'


def seeded(name, shape):
    """The golden's weight formula: by name in the original discriminator."""
    r = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF).standard_normal(shape).astype(np.float32)
    r = torch.from_numpy(r)
    return 0.1 * r if name.endswith('bias') else r * (2 / np.prod(shape[1:])) ** 0.5


def golden_discriminator():
    discriminator = HolisticDiscriminator(19).eval()
    with torch.no_grad():
        for name in ('l1', 'l2', 'l3', 'l4'):
            conv = getattr(discriminator, name)[0]
            weight = seeded(f'{name}.0.module.weight_bar', conv.weight.shape)
            # a converged spectral norm is the largest singular value
            conv.parametrizations.weight.original.copy_(weight)
            u, _, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
            norm = conv.parametrizations.weight[0]
            norm._u.copy_(u[:, 0])
            norm._v.copy_(v[0])
            conv.bias.copy_(seeded(f'{name}.0.module.bias', conv.bias.shape))
        discriminator.last.weight.copy_(seeded('last.0.weight', discriminator.last.weight.shape))
        discriminator.last.bias.copy_(seeded('last.0.bias', discriminator.last.bias.shape))
        for name, gamma in (('attn1', 0.3), ('attn2', 0.5)):
            attention = getattr(discriminator, name)
            for key in ('query_conv', 'key_conv', 'value_conv'):
                conv = getattr(attention, key)
                conv.weight.copy_(seeded(f'{name}.{key}.weight', conv.weight.shape))
                conv.bias.copy_(seeded(f'{name}.{key}.bias', conv.bias.shape))
            attention.gamma.fill_(gamma)
    return discriminator


def test_scores_equal_those_of_the_original():
    x = torch.from_numpy(
        np.random.RandomState(zlib.crc32(b'disc_x') & 0x7FFFFFFF).standard_normal((2, 19, 65, 65)).astype(np.float32)
    )
    with torch.no_grad():
        scores = golden_discriminator()(x)
    expected = torch.from_numpy(np.load(GOLDENS)['disc_out']).flatten()
    torch.testing.assert_close(scores, expected, atol=1e-3, rtol=0)


def test_number_of_trainable_parameters_is_the_originals():
    # 3,191,721 trainable ones there
    assert sum(p.numel() for p in HolisticDiscriminator(19).parameters()) == 3_191_721


def test_self_attention_equals_a_loop_over_positions():
    torch.manual_seed(0)
    attention = SelfAttention(16)
    torch.nn.init.constant_(attention.gamma, 0.7)
    x = torch.randn(2, 16, 3, 4)
    query, key, value = (
        conv(x).flatten(2) for conv in (attention.query_conv, attention.key_conv, attention.value_conv)
    )
    expected = x.clone().flatten(2)
    for n in range(2):
        for i in range(12):
            weights = torch.softmax(torch.stack([query[n, :, i] @ key[n, :, j] for j in range(12)]), 0)
            expected[n, :, i] += 0.7 * sum(weights[j] * value[n, :, j] for j in range(12))
    torch.testing.assert_close(attention(x).flatten(2), expected)


@pytest.mark.parametrize('size', [(65, 65), (64, 64), (45, 60), (16, 16), (64, 128), (8, 40), (1, 1)])
def test_any_map_size_gives_one_score_an_image(size):
    maps = torch.randn(2, 5, *size, requires_grad=True)
    scores = HolisticDiscriminator(5, base_channels=8, preprocess=None)(maps)
    assert scores.shape == (2,)
    scores.sum().backward()
    assert (maps.grad != 0).all()  # all of the map is judged


def test_the_conditional_discriminator_sees_the_image():
    discriminator = HolisticDiscriminator(5, base_channels=8, preprocess='softmax', conditional=True).eval()
    scores = torch.randn(1, 5, 32, 32)
    one, two = discriminator(scores, torch.randn(1, 3, 256, 256)), discriminator(scores, torch.randn(1, 3, 256, 256))
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match='conditional is True, but images were not given'):
        discriminator(scores)


def test_per_sample_gradient_does_not_depend_on_the_other_samples():
    torch.manual_seed(0)
    discriminator = HolisticDiscriminator(5, base_channels=8).train()
    x = torch.randn(3, 5, 32, 32, requires_grad=True)

    def gradient_of_first(batch):
        return torch.autograd.grad(discriminator(batch).sum(), batch)[0][0]

    with discriminator.per_sample():
        alone, together = gradient_of_first(x[:1]), gradient_of_first(x)
    torch.testing.assert_close(alone, together)
    assert discriminator.training
    assert not torch.allclose(gradient_of_first(x[:2]), gradient_of_first(x))  # train mode does depend on them


def test_per_sample_leaves_the_state_as_it_is():
    discriminator = HolisticDiscriminator(5, base_channels=8).train()
    before = {k: v.clone() for k, v in discriminator.state_dict().items()}
    with discriminator.per_sample():
        discriminator(torch.randn(2, 5, 32, 32))
    assert all(torch.equal(v, before[k]) for k, v in discriminator.state_dict().items())
    discriminator(torch.randn(2, 5, 32, 32))
    assert any(not torch.equal(v, before[k]) for k, v in discriminator.state_dict().items())


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="discriminator.preprocess: got 'relu'"):
        HolisticDiscriminator(5, preprocess='relu')
