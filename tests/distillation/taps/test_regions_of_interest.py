"""What two networks compute of their regions of interest may be compared only where the regions are the same."""

import pytest
import torch
from helpers.distillation_toys import ToyDetector, batch
from torch import nn

from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

PROPOSE = 'test_regions_of_interest.propose'
LOSS = dict(type='FeatureMSELoss')


def propose(boxes):
    """What a sampler does in training; a delivery of mmrazor's may hand the teacher's on to the student."""
    return boxes


class RoIExtractor(nn.Module):
    def forward(self, features, rois):
        return torch.stack([features[int(r[0])].mean(dim=(1, 2)) * r[1:].mean() for r in rois])


class RoIHead(nn.Module):
    """Two RoIs per network, at other places in each, and a head of theirs; ``semantic_head`` sees the whole image."""

    def __init__(self, channels, offset):
        super().__init__()
        self.bbox_roi_extractor = RoIExtractor()
        self.bbox_head = nn.Linear(channels, 5)
        self.semantic_head = nn.Conv2d(channels, 2, 1)
        self.offset = offset

    def forward(self, x):
        self.semantic_head(x)
        boxes = torch.tensor([[0.0, 1, 1, 8, 8], [1, 4, 4, 9, 9]])
        boxes[:, 1:] += self.offset
        boxes = propose(boxes)
        return self.bbox_head(self.bbox_roi_extractor(x, boxes[boxes[:, 0] < len(x)]))


@MODELS.register_module()
class TwoStageToy(ToyDetector):
    def __init__(self, offset=0.0, **kwargs):
        super().__init__(channels=4, out_channels=6, dropout=0.0, **kwargs)
        self.roi_head = RoIHead(4, offset)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        out = self.roi_head(self.backbone(inputs))
        return dict(loss=out.square().mean()) if mode == 'loss' else out


def build(distill=None, distiller=None, teacher_offset=2.0):
    torch.manual_seed(0)
    return DenseDistill(
        student=dict(type='mmkd.TwoStageToy'),
        teacher=dict(type='mmkd.TwoStageToy', offset=teacher_offset, allow_random=True),
        distill=distill,
        distiller=distiller,
        dry_run=dict(size=(32, 32)),
    )


@pytest.mark.parametrize(
    'source', [f'roi_head{part}' for part in ('', '.bbox_head', '.bbox_roi_extractor', '.forward')]
)
def test_taps_of_two_networks_below_their_roi_heads_are_refused(source):
    algorithm = build(dict(box=dict(taps=source, loss=LOSS)))
    with pytest.raises(ValueError, match=f"distill.box: .*'{source}'.*region of interest.*'neck'"):
        algorithm.init_weights()


def test_what_sees_the_whole_image_may_be_tapped():
    algorithm = build(dict(semantic=dict(taps='roi_head.semantic_head', loss=LOSS)))
    algorithm.init_weights()
    assert algorithm(batch(), mode='loss')['distill.loss_semantic'] > 0


def test_a_loss_that_makes_the_regions_the_same_is_taken():
    @MODELS.register_module(force=True)
    class SharedRegions(nn.Module):
        shares_regions = True

        def forward(self, preds_S, preds_T):
            return (preds_S - preds_T).square().mean()

    algorithm = build(dict(box=dict(taps='roi_head.bbox_head', loss=dict(type='SharedRegions'))))
    algorithm.init_weights()


def delivering(kind):
    """mmrazor's vocabulary, with the teacher's RoIs (or something else of it) handed on to the student."""
    recorder = dict(type='ModuleOutputs', source='roi_head.bbox_head')
    return dict(
        type='ConfigurableDistiller',
        student_recorders=dict(box=recorder),
        teacher_recorders=dict(box=recorder),
        distill_deliveries=dict(rois=dict(type='FunctionOutputs', func_path=kind, max_keep_data=10)),
        distill_losses=dict(loss_box=dict(type='mmkd.FeatureMSELoss')),
        loss_forward_mappings=dict(
            loss_box=dict(
                preds_S=dict(recorder='box', from_student=True), preds_T=dict(recorder='box', from_student=False)
            )
        ),
    )


def test_regions_that_are_delivered_are_the_same():
    algorithm = build(distiller=delivering(PROPOSE))
    algorithm.init_weights()
    for _ in range(2):
        assert torch.isfinite(algorithm(batch(), mode='loss')['distill.loss_box'])


def unrelated(x):
    return x


def test_a_delivery_that_does_not_make_them_the_same_is_found_out():
    algorithm = build(distiller=delivering('test_regions_of_interest.unrelated'))
    algorithm.init_weights()
    with pytest.raises(ValueError, match='distill.loss_box: .*region of interest.*differ'):
        algorithm(batch(), mode='loss')


def test_a_mask_branch_taught_on_the_students_regions_is_no_such_case():
    from helpers import detection_toys

    taps = dict(student='roi_head.mask_loss', teacher='neck')
    algorithm = detection_toys.build(dict(mask=dict(taps=taps, loss=dict(type='mmkd.MaskBranchLoss'))))
    algorithm.prepare()
