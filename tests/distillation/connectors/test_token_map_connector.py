"""Tokens laid out as a map."""

import pytest
import torch

from mmkd.distillation.connectors import ConvConnector, MaskedGenerationConnector, TokenMapConnector, build_connector


@pytest.mark.parametrize('prefix', [0, 1, 5])
@pytest.mark.parametrize(('size', 'grid'), [(None, (3, 3)), ((2, 4), (2, 4))])
def test_token_of_a_place_comes_to_that_place(size, grid, prefix):
    height, width = grid
    tokens = torch.randn(2, prefix + height * width, 6)
    out = TokenMapConnector(6, 6, size=size, num_prefix_tokens=prefix)(tokens)
    assert out.shape == (2, 6, height, width)
    for y in range(height):
        for x in range(width):
            assert torch.equal(out[:, :, y, x], tokens[:, prefix + y * width + x])


def test_other_numbers_of_channels_are_brought_together():
    connector = build_connector(dict(type='TokenMapConnector', num_prefix_tokens=1), 6, 10)
    connector.init_weights()
    tokens = torch.randn(2, 17, 6, requires_grad=True)
    out = connector(tokens)
    assert out.shape == (2, 10, 4, 4)
    out.sum().backward()
    assert not tokens.grad[:, 0].any() and tokens.grad[:, 1:].all()


def test_numbers_that_do_not_fill_a_grid_are_refused():
    with pytest.raises(ValueError, match=r'size: 10 tokens, after 0 .*num_prefix_tokens.*do not fill a grid of 3 x 3'):
        TokenMapConnector(6, 6)(torch.zeros(2, 10, 6))
    with pytest.raises(ValueError, match=r'do not fill a grid of 2 x 4; expected size=\(H, W\)'):
        TokenMapConnector(6, 6, size=(2, 4))(torch.zeros(2, 9, 6))
    with pytest.raises(ValueError, match=r'expected tokens \(N, L, C\), but got \(2, 6, 3, 3\)'):
        TokenMapConnector(6, 6)(torch.zeros(2, 6, 3, 3))


@pytest.mark.parametrize('connector', [ConvConnector, MaskedGenerationConnector])
def test_connectors_of_maps_refuse_tokens(connector):
    with pytest.raises(ValueError, match=rf'{connector.__name__}: .*tokens \(N, L, C\).*TokenMapConnector'):
        connector(6, 10)(torch.zeros(2, 9, 6))
    with pytest.raises(ValueError, match=rf'{connector.__name__}: expected a map'):
        connector(6, 10)(torch.zeros(2, 6))


@pytest.mark.parametrize('kernel_size', [0, -1, 2.0, '3'])
def test_a_kernel_is_an_odd_number(kernel_size):
    with pytest.raises(ValueError, match=f'kernel_size: expected an odd number, but got {kernel_size!r}'):
        ConvConnector(2, 3, kernel_size)


@pytest.mark.parametrize('mask_ratio', ['half', 1, -0.1, float('nan')])
def test_a_mask_ratio_is_a_share(mask_ratio):
    with pytest.raises(ValueError, match=f'mask_ratio: expected 0 <= ratio < 1, but got {mask_ratio!r}'):
        MaskedGenerationConnector(2, 3, mask_ratio)
