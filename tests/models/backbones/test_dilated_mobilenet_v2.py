import pytest
import torch
from mmseg.models.backbones import MobileNetV2

from mmkd.models import DilatedMobileNetV2


@pytest.mark.parametrize('size', [64, 90])
def test_output_is_that_of_the_strided_network_at_every_fourth_position(size):
    torch.manual_seed(0)
    strided, dilated = MobileNetV2(widen_factor=0.25), DilatedMobileNetV2(widen_factor=0.25)
    for module in strided.modules():
        if isinstance(module, torch.nn.Conv2d):  # the default start fades to 1e-6 within 50 layers
            torch.nn.init.kaiming_normal_(module.weight, mode='fan_in')
    for model in (strided, dilated):
        model.eval()  # does not return the model
    dilated.load_state_dict(strided.state_dict())
    x = torch.randn(1, 3, size, size)
    for a, b, step in zip(strided(x), dilated(x), (1, 1, 2, 4), strict=True):
        assert a.std() > 0.1
        torch.testing.assert_close(b[..., ::step, ::step], a)


def test_channels_and_sizes():
    outs = DilatedMobileNetV2()(torch.randn(1, 3, 40, 24))
    assert [tuple(out.shape[1:]) for out in outs] == [(24, 10, 6), (32, 5, 3), (96, 5, 3), (320, 5, 3)]
