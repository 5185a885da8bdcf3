"""mmrazor's vocabulary: its distillers with recorders of our own, and mappings that name what there is."""

import pytest
import torch
from helpers.distillation_toys import ToyHead, batch, toy

from mmkd.compat import import_mmrazor
from mmkd.distillation.algorithms import DenseDistill, DenseDistiller
from mmkd.distillation.recipes.mmrazor import build_distiller
from mmkd.distillation.taps.recorders import Recorders

import_mmrazor()
from mmrazor.models.distillers import ConfigurableDistiller  # noqa: E402
from mmrazor.registry import MODELS as MMRAZOR_MODELS  # noqa: E402

RECORDER = dict(fpn=dict(type='ModuleOutputs', source='neck'))
RECORD = dict(recorder='fpn', data_idx=1)


def words(**options):
    return dict(
        dict(
            type='ConfigurableDistiller',
            student_recorders=RECORDER,
            teacher_recorders=RECORDER,
            distill_losses=dict(loss_l2=dict(type='L2Loss')),
            loss_forward_mappings=dict(
                loss_l2=dict(s_feature=dict(RECORD, from_student=True), t_feature=dict(RECORD, from_student=False))
            ),
        ),
        **options,
    )


@MMRAZOR_MODELS.register_module()
class TwiceTheLoss(ConfigurableDistiller):
    """A distiller of somebody else's."""

    def compute_distill_losses(self):
        return {name: 2 * value for name, value in super().compute_distill_losses().items()}


def losses(distiller, **options):
    torch.manual_seed(0)
    teacher = dict(toy(), allow_random=True)
    algorithm = DenseDistill(toy(dropout=0.0), teacher, distiller=distiller, dry_run=dict(size=(32, 32)), **options)
    return algorithm(batch(), mode='loss')


def test_its_distiller_is_built_as_ours_and_another_stays_what_it_is():
    assert isinstance(build_distiller(words()), DenseDistiller)
    once = losses(words())['distill.loss_l2']
    for distiller in (words(type='TwiceTheLoss'), MMRAZOR_MODELS.build(words(type='TwiceTheLoss'))):
        built = build_distiller(distiller)
        assert type(built) is TwiceTheLoss and isinstance(built.student_recorders, Recorders)
        torch.testing.assert_close(losses(built)['distill.loss_l2'], 2 * once)


def test_what_is_recorded_of_a_delivered_method_is_what_the_network_goes_on_with():
    source = f'{__name__}.ToyHead.loss'
    recorder = dict(x=dict(type='MethodOutputs', source=source))
    given = dict(recorder='x', data_idx=None)
    distiller = words(
        student_recorders=recorder,
        teacher_recorders=recorder,
        distill_deliveries=dict(head=dict(type='MethodOutputs', method_path=source, max_keep_data=2)),
        distill_losses=dict(loss_same=dict(type='mmkd.FeatureMSELoss')),
        loss_forward_mappings=dict(
            loss_same=dict(preds_S=dict(given, from_student=True), preds_T=dict(given, from_student=False))
        ),
    )
    torch.manual_seed(0)
    teacher = dict(toy(), allow_random=True, mode='loss')
    algorithm = DenseDistill(toy(dropout=0.0), teacher, distiller=distiller, dry_run=False)
    seen = []
    algorithm.distiller.distill_losses['loss_same'] = Compare(seen)
    algorithm.prepare()
    algorithm(batch(), mode='loss')
    ((student, teacher),) = seen
    assert student is teacher and set(student) == {'loss_cls'}
    assert ToyHead.loss.__name__ == 'loss' and not hasattr(ToyHead.loss, '__wrapped__')


class Compare(torch.nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, preds_S, preds_T):
        self.seen.append((preds_S, preds_T))
        return torch.zeros(())


@pytest.mark.parametrize(
    ('mappings', 'message'),
    [
        (3, ': a dict was expected, got 3'),
        (dict(loss_x={}), r"'loss_x' is none of distill_losses, which are \['loss_l2'\]"),
        (dict(loss_l2=dict(preds_S=RECORD)), 'loss_l2.preds_S: the arguments of L2Loss are s_feature, t_feature'),
        (dict(loss_l2=dict(s_feature=RECORD)), r'loss_l2.s_feature: dict\(recorder=..., from_student=True or False\)'),
        (
            dict(loss_l2=dict(s_feature=dict(recorder='neck', from_student=False))),
            "s_feature.recorder: 'neck' is none of teacher_recorders: fpn",
        ),
        (
            dict(loss_l2=dict(s_feature=dict(RECORD, from_student=True, connector='fpn'))),
            "s_feature.connector: 'fpn' is none of connectors",
        ),
    ],
)
def test_a_mapping_that_names_what_there_is_not_is_an_error(mappings, message):
    with pytest.raises(ValueError, match=f'distiller.loss_forward_mappings.*{message}'):
        build_distiller(words(loss_forward_mappings=mappings))
