"""Graphs of CenterMask: right for every image, whatever the example they were traced from, or refused."""

import pytest
import torch
from helpers.tiny_center_mask import image_sample, packed_batch, tiny_center_mask, tiny_config
from mmengine.analysis import get_model_complexity_info
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.models import AdaptiveRoIExtractor
from mmkd.registry import MODELS

ROI_ALIGN = dict(type='RoIAlign', output_size=14, sampling_ratio=0, aligned=True)


def flat(outputs) -> list[torch.Tensor]:
    return [outputs] if isinstance(outputs, torch.Tensor) else [x for part in outputs for x in flat(part)]


class Flat(nn.Module):
    """The outputs of a network in one tuple."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return tuple(flat(self.network(x)))


@pytest.fixture(scope='module')
def network():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = tiny_center_mask().eval()
    model.bbox_head.conv_cls.bias.data.fill_(-3.0)  # nothing in a black image
    model.bbox_head.test_cfg.update(nms_pre=100)  # fewer than a level of the larger images has, more than the example
    return Flat(model)


def image(height: int, width: int, scale: float) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height)) * scale


def num_objects(outputs) -> int:
    return len(outputs[-1])


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize('example', ['no objects', 'objects'])
def test_traced_detector_equals_the_eager_one_on_other_images(network, example):
    example = image(64, 64, 0.0 if example == 'no objects' else 50.0)
    others = [image(64, 64, 50.0), image(64, 64, 0.0), image(96, 128, 20.0), image(160, 96, 50.0)]
    with torch.no_grad():
        traced = torch.jit.trace(network, example, check_trace=False)
        assert {num_objects(network(x)) > 0 for x in others} == {False, True}
        for x in others:
            for ours, expected in zip(traced(x), network(x), strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize(
    'example', [[], [[0.0, 0, 0, 5, 5]], [[0.0, 0, 0, 60, 60]]], ids=['none', 'finest', 'coarsest']
)
@pytest.mark.parametrize('assign', ['ratio', 'area'])
def test_traced_extractor_pools_from_levels_that_were_empty_in_the_example(assign, example):
    extractor = AdaptiveRoIExtractor(dict(ROI_ALIGN), 3, [8, 16, 32], assign=assign, canonical_box_size=32)
    feats = [torch.randn(1, 3, 64 // stride, 64 // stride) for stride in (8, 16, 32)]
    traced = torch.jit.trace(
        lambda a, b, c, rois: extractor([a, b, c], rois), (*feats, torch.tensor(example).view(-1, 5))
    )
    rois = torch.tensor([[0.0, 0, 0, 5, 5], [0, 0, 0, 40, 40], [0, 0, 0, 60, 60]])
    for some in (rois, rois[1:2], rois[:0]):
        assert torch.equal(traced(*feats, some), extractor(feats, some))


def test_export_is_refused_in_one_sentence_and_what_it_names_works(network):
    model, x = network.network, image(64, 64, 50.0)
    with pytest.raises(
        NotImplementedError, match=r'torch\.export cannot follow NMS .* model\.bbox_head\(model\.extract'
    ):
        torch.export.export(model, (x,))

    class Boxes(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, images):
            return self.model.bbox_head(self.model.extract_feat(images))

    exported = torch.export.export(Boxes(), (x,)).module()
    other = image(64, 64, 20.0)
    for ours, expected in zip(flat(exported(other)), flat(Boxes()(other)), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
def test_cost_is_counted_as_mmdets_get_flops_does():
    """With a VoVNet, whose modules once had names that are none; untrained, so without a box above the threshold."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        config = tiny_config()
        config['backbone'] = dict(type='mmkd.VoVNet', arch='V-19-slim-dw-eSE', out_indices=(1, 2, 3))
        config['neck']['in_channels'] = [256, 384, 512]
        model = MODELS.build(config).eval()
        data = model.data_preprocessor(packed_batch(image_sample(height=64, width=64)))

        def forward(*args, data_samples=data['data_samples'], network=model.forward, **kwargs):
            return network(*args, data_samples=data_samples, **kwargs)

        model.forward = forward
        analysis = get_model_complexity_info(model, None, inputs=data['inputs'], show_table=True, show_arch=True)
    assert analysis['params'] == sum(parameter.numel() for parameter in model.parameters())
    assert analysis['flops'] > 30e6
    assert 'stage3.OSA3_1' in analysis['out_table']
