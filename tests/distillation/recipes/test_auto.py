"""What recipes choose for which networks."""

import pytest
import torch
from helpers.distillation_toys import STUDENT, TEACHER, ToyDetector, batch, build, toy
from torch import nn

from mmkd.distillation.recipes.auto import RECIPES, choose, fill_taps
from mmkd.distillation.recipes.short_form import parse_short_form
from mmkd.distillation.taps.outline import Level, Maps, Outline, outline


def maps(tap, *strides, channels=4, start=0):
    return Maps(tap, tuple(Level(start + i, s, channels, (64 // s, 64 // s)) for i, s in enumerate(strides)))


def detector(*strides, **options):
    defaults = dict(
        num_classes=3, activation='sigmoid', logits=maps(dict(source='bbox_head.forward', data_idx=0), 8, 16)
    )
    return Outline('detector', maps('neck', *strides), **{**defaults, **options})


def segmentor(stride, **options):
    defaults = dict(
        logits=maps('decode_head.conv_seg', stride, channels=3),
        before_logits=maps(dict(type='ModuleInputs', source='decode_head.dropout', data_idx=0), stride),
        num_classes=3,
        activation='softmax',
    )
    return Outline('segmentor', maps('backbone', 4, 8), **{**defaults, **options})


def test_detectors_are_compared_at_common_strides_and_by_their_classes():
    choice = choose('auto', detector(4, 8, 16), detector(8, 16, 32))
    assert list(choice.distill) == ['pkd', 'cls']
    pkd = choice.distill['pkd']
    assert pkd['taps'] == 'neck' and pkd['levels'] == dict(student=(1, 2), teacher=(0, 1)) and 'connector' not in pkd
    assert choice.distill['cls']['taps'] == dict(source='bbox_head.forward', data_idx=0)
    assert choice.reasons[0] == "distill.pkd: PKDLoss on features of 'neck' at strides 8, 16"
    parse_short_form(choice.distill)


@pytest.mark.parametrize(
    ('other', 'reason'),
    [
        (dict(num_classes=5), 'the classes differ, 3 and 5 of them'),
        (dict(num_priors=9), 'a place has 1 anchors in one and 9 in the other'),
        (dict(activation='softmax'), 'they go through a sigmoid in one and a softmax in the other'),
        (dict(logits=None), 'the teacher has no class logits of places in the image'),
    ],
)
def test_classes_are_left_out_with_the_reason(other, reason):
    choice = choose('auto', detector(8, 16), detector(8, 16, **other))
    assert list(choice.distill) == ['pkd']
    assert choice.reasons[1] == f'no cls (PixelWiseLoss on logits): {reason}'


def test_as_many_classes_of_other_names_are_other_classes():
    assert list(choose('auto', detector(8), detector(8), same_classes=False).distill) == ['pkd']


def test_other_channels_get_a_connector_and_strides_without_match_the_nearest():
    teacher = detector(32, 64)
    choice = choose('pkd', detector(4, 8, 16), Outline('detector', maps('neck', 32, 64, channels=8), teacher.logits))
    entry = choice.distill['pkd']
    assert entry['connector'] == 'conv1x1' and entry['loss']['align'] == 'student'
    assert entry['levels'] == dict(student=(2,), teacher=(0,))


def test_segmentors():
    choice = choose('auto', segmentor(8), segmentor(4))
    assert list(choice.distill) == ['cwd', 'pair']
    assert choice.distill['cwd']['loss']['align'] == 'student' and 'levels' not in choice.distill['cwd']
    assert list(choose('auto', segmentor(8), segmentor(4, num_classes=7)).distill) == ['pair']


def test_networks_of_two_kinds_are_compared_by_their_features():
    choice = choose('auto', segmentor(8), detector(4, 8))
    assert list(choice.distill) == ['pkd']
    assert choice.distill['pkd']['taps'] == dict(student='backbone', teacher='neck')


def test_tokens_of_encoders():
    tokens = [Maps(dict(source='encoder', tokens='line'), (Level(0, 0.0, 8, (n, 1)),)) for n in (100, 100, 64)]
    sides = [Outline('query detector', maps('neck', 32), tokens=one) for one in tokens]
    assert list(choose('auto', sides[0], sides[1]).distill) == ['pkd', 'encoder']
    choice = choose('auto', sides[0], sides[2])
    assert list(choice.distill) == ['pkd'] and 'has 100 tokens and the other 64' in choice.reasons[1]


def test_nothing_in_common_says_what_would_help():
    with pytest.raises(ValueError, match="there is nothing to compare .* Name taps yourself: .*'mmkd taps CONFIG'"):
        choose('pkd', Outline('network'), detector(8))
    with pytest.raises(ValueError, match="one of auto, pkd, cwd, logits, pairwise, mse was expected, got 'pdk'"):
        choose('pdk', detector(8), detector(8))


def test_taps_alone_may_be_auto_and_what_the_entry_says_stays():
    distill = dict(
        a=dict(taps='auto', levels=(0,), loss=dict(type='FeatureMSELoss')),
        b=dict(taps='neck', loss=dict(type='PKDLoss')),
        c=dict(taps='auto', loss=dict(type='PairWiseLoss')),
    )
    filled = fill_taps(distill, detector(8, 16), detector(8, 16))
    assert (
        filled['a'] == dict(taps='neck', levels=(0,), loss=dict(type='FeatureMSELoss')) and filled['b'] is distill['b']
    )
    assert filled['c']['taps'] == 'neck'  # a detector has no map before its logits


# ---- real networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    'recipe', ['auto', *(name for name in RECIPES if name != 'logits')]
)  # the toys' head is no dense one
def test_every_recipe_trains_a_student(recipe):
    algorithm = build(recipe, teacher=dict(toy(channels=8, out_channels=10), allow_random=True))
    losses = algorithm(batch(), mode='loss')
    taught = {name: value for name, value in losses.items() if name.startswith('distill.')}
    assert taught and all(torch.isfinite(value) for value in taught.values())
    sum(taught.values()).backward()
    assert any(p.grad is not None for p in algorithm.student.parameters())


def test_a_recipe_does_not_change_the_students_weights():
    plain = build(dict(fpn=dict(taps='neck', connector='conv1x1', loss=dict(type='PKDLoss'))))
    chosen = build('auto')
    for name, value in plain.student.state_dict().items():
        assert torch.equal(value, chosen.student.state_dict()[name]), name


def test_a_wrong_recipe_is_told_when_training_begins():
    algorithm = build('pdk', student=STUDENT, teacher=TEACHER)
    algorithm(batch(), mode='predict')
    with pytest.raises(ValueError, match="recipe: one of auto, .* got 'pdk'"):
        algorithm.prepare()


class WithAuxiliaryMaps(nn.Module):
    """Gives two more maps in training than in testing, as PIDNet's backbone."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=8, padding=1)

    def forward(self, x):
        out = self.conv(x)
        return (out[:, :2], out, out[:, :3]) if self.training else out


class WithPositions(nn.Module):
    """Gives a map that does not depend on the image."""

    def forward(self, x):
        return torch.ones(1, 4, 8, 8)


def test_maps_that_training_adds_and_positions_are_not_meant():
    model = ToyDetector()
    model.backbone, model.neck = WithAuxiliaryMaps(), nn.Identity()
    model.positions = WithPositions()
    forward = model.forward
    model.forward = lambda inputs, samples=None, mode='tensor': (
        model.backbone(inputs), model.positions(inputs), forward if mode == 'loss' else None
    )  # fmt: skip
    student = outline(model, (64, 64), as_student=True)
    assert student.features.tap == 'backbone'
    assert [(level.index, level.channels) for level in student.features.levels] == [(1, 4)]
    assert [level.index for level in outline(model, (64, 64)).features.levels] == [0]
