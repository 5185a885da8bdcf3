"""What a loss may ask for beside the two maps: data samples, further taps, all levels at once."""

import pytest
import torch
from helpers.distillation_toys import batch, toy
from mmengine.structures import BaseDataElement

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.losses import DistillationLoss, localization_distillation_loss
from mmkd.distillation.recipes.short_form import compile_short_form, parse_short_form
from mmkd.registry import MODELS

STUDENT = toy(channels=4, out_channels=6, dropout=0.0)
TEACHER = dict(toy(channels=8, out_channels=6, dropout=0.0), allow_random=True)


@MODELS.register_module()
class WeightOfTheSamples(DistillationLoss):
    """The squared difference times the weights that the data samples carry."""

    def forward(self, preds_S, preds_T, data_samples):
        weights = torch.tensor([sample.get('weight', 1.0) for sample in data_samples])
        return self.loss_weight * ((preds_S - preds_T).square().mean((1, 2, 3)) * weights).mean()


@MODELS.register_module()
class AllLevels(DistillationLoss):
    """Has a parameter for each of three levels."""

    def __init__(self, loss_weight=1.0):
        super().__init__(loss_weight)
        self.factors = torch.nn.Parameter(torch.tensor([1.0, 2.0, 4.0]))

    def forward(self, levels_S, levels_T):
        levels = [f * (s - t).square().mean() for f, s, t in zip(self.factors, levels_S, levels_T, strict=True)]
        return self.loss_weight * torch.stack(levels).mean()


@MODELS.register_module()
class ScoredByTheTeacher(DistillationLoss):
    def forward(self, preds_S, preds_T, scores_T=None):
        return self.loss_weight * ((preds_S - preds_T).square().mean(1) * scores_T.sigmoid().amax(1)).mean()


def build(**entry):
    torch.manual_seed(0)
    return DenseDistill(student=STUDENT, teacher=TEACHER, distill=dict(x=entry), dry_run=dict(size=(32, 32)))


def maps(algorithm):
    """The levels of the necks and the teacher's class logits."""
    student, teacher = (m.neck(m.backbone(batch())) for m in (algorithm.student, algorithm.teacher.model))
    return student, teacher, algorithm.teacher.model.bbox_head.forward(teacher)


def samples(*weights):
    return [BaseDataElement(metainfo=dict(weight=weight)) for weight in weights]


def test_data_samples_reach_a_loss_that_needs_them_for_each_level():
    algorithm = build(taps='neck', loss=dict(type='WeightOfTheSamples', weight=2.0))
    loss = algorithm(batch(), samples(1.0, 3.0), mode='loss')['distill.loss_x']
    student, teacher, _ = maps(algorithm)
    levels = [(s - t).square().mean((1, 2, 3)) for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(loss, 2 * sum((v * torch.tensor([1.0, 3.0])).mean() for v in levels) / 3)


def test_missing_data_samples_are_an_error_that_names_the_loss():
    algorithm = build(taps='neck', loss=dict(type='WeightOfTheSamples'))
    with pytest.raises(ValueError, match='distill.x: WeightOfTheSamples needs data_samples, and there are none'):
        algorithm(batch(), mode='loss')


@pytest.mark.parametrize(('reduce', 'divisor'), [('mean', 3), ('sum', 1)])
def test_a_loss_may_take_all_levels_and_its_parameters_are_trained(reduce, divisor):
    algorithm = build(taps='neck', loss=dict(type='AllLevels'), reduce=reduce)
    loss = algorithm(batch(), mode='loss')['distill.loss_x']
    student, teacher, _ = maps(algorithm)
    levels = [(s - t).square().mean() for s, t in zip(student, teacher, strict=True)]
    torch.testing.assert_close(loss, sum(f * v for f, v in zip((1, 2, 4), levels, strict=True)) / divisor)
    loss.backward()
    parameters = dict(algorithm.named_parameters())
    assert parameters['distiller.distill_losses.loss_x.factors'].grad.abs().min() > 0
    assert 'distiller.distill_losses.loss_x.factors' in algorithm.state_dict()


def test_a_loss_that_asks_for_all_levels_in_the_former_way_is_refused(monkeypatch):
    monkeypatch.setattr(AllLevels, 'takes_levels', True, raising=False)
    with pytest.raises(ValueError, match='distill.x.loss: takes_levels of AllLevels .* called levels_S and levels_T'):
        build(taps='neck', loss=dict(type='AllLevels'))


def test_a_further_tap_is_an_argument_of_the_loss():
    scores = dict(side='teacher', source='bbox_head.conv_cls')
    algorithm = build(taps='neck', levels=(0, 2), inputs=dict(scores_T=scores), loss=dict(type='ScoredByTheTeacher'))
    loss = algorithm(batch(), mode='loss')['distill.loss_x']
    student, teacher, logits = maps(algorithm)
    levels = [((student[i] - teacher[i]).square().mean(1) * logits[i].sigmoid().amax(1)).mean() for i in (0, 2)]
    torch.testing.assert_close(loss, sum(levels) / 2)


def test_further_taps_are_written_out():
    scores = dict(side='teacher', source='bbox_head', data_idx=0)
    entry = dict(taps='neck', inputs=dict(scores_T=scores), loss=dict(type='ScoredByTheTeacher'))
    config = compile_short_form(parse_short_form(dict(x=entry)), {})
    assert config['teacher_recorders']['x/scores_T'] == dict(type='ModuleOutputs', source='bbox_head')
    assert 'x/scores_T' not in config['student_recorders']
    mapping = config['loss_forward_mappings']['loss_x']['scores_T']
    assert mapping == dict(recorder='x/scores_T', from_student=False, data_idx=0, levels='all')


@pytest.mark.parametrize(
    ('inputs', 'message'),
    [
        ('scores', 'distill.x.inputs: a dict of taps'),
        (dict(scores=dict(side='teacher', source='a')), "arguments of ScoredByTheTeacher are: scores_T; got 'scores'"),
        (dict(scores_T=dict(source='a')), r"distill.x.inputs.scores_T: dict\(side='student' or 'teacher'"),
        (dict(scores_T=dict(side='teacher')), 'distill.x.inputs.scores_T: the name of a module'),
        (dict(scores_T=dict(side='teacher', source='a', idx=1)), "the keys of a tap are .* got 'idx'"),
    ],
)
def test_mistakes_in_further_taps_are_named(inputs, message):
    with pytest.raises(ValueError, match=message):
        parse_short_form(dict(x=dict(taps='neck', inputs=inputs, loss=dict(type='ScoredByTheTeacher'))))


# ---- mmkd's own losses -----------------------------------------------------------------------------------------------


def test_localization_distillation_has_one_denominator_over_the_levels_of_a_config():
    """Two levels without objects beside one with some leave that one's loss as it is."""
    network = toy(channels=4, out_channels=8, num_classes=8, dropout=0.0)
    scores = dict(side='teacher', source='bbox_head.conv_cls')
    algorithm = DenseDistill(
        student=network,
        teacher=dict(network, allow_random=True),
        distill=dict(x=dict(taps='neck', inputs=dict(scores_T=scores), loss=dict(type='LocalizationDistillationLoss'))),
        dry_run=dict(size=(32, 32)),
    )
    algorithm.prepare()
    head = algorithm.teacher.model.bbox_head.conv_cls
    head.register_forward_hook(lambda module, args, out: out if out.shape[-1] == 24 else torch.full_like(out, -1e3))
    loss = algorithm(batch((32, 48)), mode='loss')['distill.loss_x']
    student, teacher, logits = maps(algorithm)
    expected = localization_distillation_loss(student[0], teacher[0], weight=logits[0].sigmoid().amax(1))
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (dict(type='FeatureMSELoss', weight='1.0'), "FeatureMSELoss: loss_weight: expected a number of .*got '1.0'"),
        (dict(type='FeatureMSELoss', loss_weight=-1), 'FeatureMSELoss: loss_weight: .*of at least 0, but got -1'),
        (dict(type='PixelWiseLoss', temperature=float('inf')), 'temperature: expected a finite number above 0'),
        (dict(type='FeatureMSELoss', ignore_index=255), "unexpected keyword argument 'ignore_index'"),
    ],
)
@pytest.mark.parametrize('short', [True, False])
def test_a_wrong_option_of_a_loss_is_told_with_its_key(loss, message, short):
    short_form = dict(x=dict(taps='neck', loss=loss))
    if short:
        options = dict(distill=short_form)
    else:
        options = dict(distiller=compile_short_form(parse_short_form(short_form), {}))
        del options['distiller']['names']
    with pytest.raises(ValueError, match=rf'^distill\.(x|loss_x)\.loss: .*{message}'):
        DenseDistill(student=STUDENT, teacher=TEACHER, dry_run=dict(size=(32, 32)), **options)


class Tokens(torch.nn.Module):
    """Maps as a transformer's tokens."""

    def forward(self, x):
        return x.flatten(2).transpose(1, 2)


def test_tokens_are_refused_by_losses_and_laid_out_by_their_connector():
    def networks():
        student, teacher = MODELS.build(STUDENT), MODELS.build({k: v for k, v in TEACHER.items() if k in STUDENT})
        student.backbone.tokens = Tokens()
        student.backbone.register_forward_hook(lambda module, args, out: module.tokens(out) is None or None)
        return student, teacher

    def build(**entry):
        student, teacher = networks()
        taps = dict(student='backbone.tokens', teacher='backbone')
        return DenseDistill(
            student=student, teacher=teacher, distill=dict(x=dict(taps=taps, **entry)), dry_run=dict(size=(32, 32))
        )

    with pytest.raises(ValueError, match=r'distill.x: .*tokens \(N, L, C\).*TokenMapConnector'):
        build(loss=dict(type='FeatureMSELoss')).prepare()
    with pytest.raises(ValueError, match=r'distill.x: ConvConnector: .*tokens \(N, L, C\).*TokenMapConnector'):
        build(connector='conv1x1', loss=dict(type='FeatureMSELoss')).prepare()
    algorithm = build(connector=dict(type='TokenMapConnector'), loss=dict(type='FeatureMSELoss'))
    algorithm.prepare()
    connector = next(iter(algorithm.distiller.connectors.values()))
    connector = connector.levels[0] if hasattr(connector, 'levels') else connector
    assert connector.align.conv.weight.shape == (8, 4, 1, 1)
    assert algorithm(batch((32, 32)), mode='loss')['distill.loss_x'] > 0
