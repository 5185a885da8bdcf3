"""Features as pictures."""

import numpy as np
import pytest
import torch
from torch import nn

from mmkd.visualization.features import (
    affinity_colours,
    aligned,
    principal_components,
    recorded_features,
    similarity_to,
    to_colours,
)


def test_components_are_those_of_the_covariance():
    features = torch.randn(6, 9, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7)[:, None, None]
    components = principal_components(features)
    points = features.flatten(1).double()
    _, vectors = torch.linalg.eigh(torch.cov(points))
    for i in range(3):
        expected = vectors[:, -1 - i] @ (points - points.mean(1, keepdim=True))
        cosine = torch.nn.functional.cosine_similarity(expected, components[i].flatten(), dim=0)
        assert abs(cosine) == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(components.flatten(1).square().mean(1), torch.ones(3).double())


def test_one_channel_has_one_component():
    components = principal_components(torch.arange(12.0).reshape(1, 3, 4))
    assert components[0].std() > 0 and not components[1:].any()


def test_turned_features_get_the_colours_back():
    features = torch.randn(5, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(2)).double())[0]
    turned = torch.einsum('cd,dhw->chw', turn, features)
    reference, other = principal_components(features), principal_components(turned)
    torch.testing.assert_close(aligned(other, reference), reference)
    assert (to_colours(aligned(other, reference), (16, 16)) == to_colours(reference, (16, 16))).all()


def test_two_halves_have_two_colours_and_only_one_is_like_the_place():
    features = torch.zeros(4, 10, 10)
    features[0, :, :5], features[1, :, 5:] = 1, 2
    colours = affinity_colours(features)
    assert (colours[0, :, :5] - colours[0, :1, :1]).abs().max() < 1e-5
    assert (colours[0, 0, 0] - colours[0, 0, 9]).abs() > 1
    like = similarity_to(features, (0.1, 0.5))
    np.testing.assert_allclose(like[:, :5], 1, atol=1e-5)
    np.testing.assert_allclose(like[:, 5:], -1, atol=1e-5)


class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.neck = nn.Identity()

    def forward(self, x):
        return self.neck((x, x[..., ::2, ::2]))


def test_a_level_of_a_layer_is_recorded_and_a_wrong_name_or_level_is_refused():
    network, image = Pyramid(), torch.rand(1, 3, 8, 8)
    assert recorded_features(network, 'neck', 1, lambda: network(image)).shape == (3, 4, 4)
    with pytest.raises(ValueError, match="'nack' is no layer of Pyramid, which begins with neck"):
        recorded_features(network, 'nack', 0, lambda: network(image))
    with pytest.raises(ValueError, match="'neck' gives 2 maps, level 2 was asked for"):
        recorded_features(network, 'neck', 2, lambda: network(image))
    assert not network.neck._forward_hooks
