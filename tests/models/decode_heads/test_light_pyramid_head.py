import torch
import torch.nn.functional as F

from mmkd.models import LightPyramidHead


def test_levels_are_added_from_the_top_down_and_classified_at_the_first():
    torch.manual_seed(0)
    head = LightPyramidHead([3, 4, 5], channels=6, num_classes=2, in_index=(0, 1, 3), dropout_ratio=0.0).eval()
    maps = [torch.randn(2, 3, 9, 12), torch.randn(2, 4, 5, 6), torch.randn(2, 1, 4, 4), torch.randn(2, 5, 3, 3)]
    logits = head(maps)
    laterals = [lateral.conv for lateral in head.laterals]
    x = laterals[2](maps[3])
    for lateral, level in ((laterals[1], maps[1]), (laterals[0], maps[0])):
        x = lateral(level) + F.interpolate(x, level.shape[2:], mode='bilinear')
    expected = head.conv_seg(head.fuse.conv(x).relu())
    assert logits.shape == (2, 2, 9, 12)
    torch.testing.assert_close(logits, expected)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
