"""The short form and what it stands for."""

import pytest

from mmkd.distillation.recipes.short_form import compile_short_form, parse_short_form

FPN = dict(taps='neck', levels=(0, 1, 2), connector='conv1x1', loss=dict(type='PairWiseLoss', weight=0.5))
CLS = dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss'))


def compiled(entry, channels=None):
    return compile_short_form(parse_short_form(dict(x=entry)), channels or {})


def test_two_losses_are_written_out():
    config = compile_short_form(parse_short_form(dict(fpn=FPN, cls=CLS)), dict(fpn=[(4, 8)] * 3))
    assert config == dict(
        type='mmkd.DenseDistiller',
        student_recorders=dict(
            fpn=dict(type='ModuleOutputs', source='neck'), cls=dict(type='ModuleOutputs', source='bbox_head.conv_cls')
        ),
        teacher_recorders=dict(
            fpn=dict(type='ModuleOutputs', source='neck'), cls=dict(type='ModuleOutputs', source='bbox_head.conv_cls')
        ),
        connectors=dict(fpn=dict(type='mmkd.LevelConnectors', connector='conv1x1', channels=[(4, 8)] * 3)),
        distill_losses=dict(
            loss_fpn=dict(type='mmkd.PairWiseLoss', loss_weight=0.5), loss_cls=dict(type='mmkd.PixelWiseLoss')
        ),
        loss_forward_mappings=dict(
            loss_fpn=dict(
                preds_S=dict(recorder='fpn', from_student=True, levels=(0, 1, 2), connector='fpn'),
                preds_T=dict(recorder='fpn', from_student=False, levels=(0, 1, 2)),
            ),
            loss_cls=dict(
                preds_S=dict(recorder='cls', from_student=True, levels='all'),
                preds_T=dict(recorder='cls', from_student=False, levels='all'),
            ),
        ),
        level_reduction=dict(loss_fpn='mean', loss_cls='mean'),
        names=dict(loss_fpn='distill.fpn', loss_cls='distill.cls'),
    )


def test_student_and_teacher_may_differ_in_names_and_levels():
    config = compiled(
        dict(
            CLS,
            taps=dict(student='head.cls', teacher='bbox_head.conv_cls'),
            levels=dict(student=(0, 1), teacher=(1, 2)),
            reduce='sum',
        )
    )
    assert config['student_recorders']['x']['source'] == 'head.cls'
    assert config['teacher_recorders']['x']['source'] == 'bbox_head.conv_cls'
    mapping = config['loss_forward_mappings']['loss_x']
    assert mapping['preds_S']['levels'] == (0, 1) and mapping['preds_T']['levels'] == (1, 2)
    assert config['level_reduction'] == dict(loss_x='sum')


def test_a_tap_may_be_an_input_one_of_several_outputs_or_one_call():
    tap = dict(type='ModuleInputs', source='bbox_head', data_idx=0)
    config = compiled(dict(CLS, taps=dict(student=tap, teacher=dict(source='relu', record_idx=1))))
    assert config['student_recorders']['x'] == dict(type='ModuleInputs', source='bbox_head')
    mapping = config['loss_forward_mappings']['loss_x']
    assert mapping['preds_S'] == dict(recorder='x', from_student=True, data_idx=0)
    assert mapping['preds_T'] == dict(recorder='x', from_student=False, record_idx=1)


def test_losses_of_mmrazor_are_given_their_own_argument_names():
    import mmkd.distillation.algorithms  # noqa: F401  brings mmrazor

    config = compiled(dict(CLS, loss=dict(type='mmrazor.L2Loss')))
    assert set(config['loss_forward_mappings']['loss_x']) == {'s_feature', 't_feature'}


def test_a_name_that_mmrazor_has_too_is_mmkds():
    assert compiled(dict(CLS, loss=dict(type='ChannelWiseDivergence')))['distill_losses'] == dict(
        loss_x=dict(type='mmkd.ChannelWiseDivergence')
    )


def test_a_name_with_loss_in_it_is_kept():
    config = compile_short_form(parse_short_form(dict(my_loss=CLS)), {})
    assert list(config['distill_losses']) == ['my_loss']


def test_scopes_left_by_inherited_configs_do_no_harm():
    entry = dict(_scope_='mmkd', taps=dict(_scope_='mmkd', student='a', teacher='b'), loss=dict(type='PixelWiseLoss'))
    assert parse_short_form(dict(_scope_='mmkd', x=entry))[0].taps == dict(
        student=dict(source='a'), teacher=dict(source='b')
    )


@pytest.mark.parametrize(
    ('connector', 'levels', 'needed'),
    [
        (None, None, False),
        ('conv1x1', (0,), True),
        (dict(type='ConvConnector'), (0,), True),
        (dict(type='ConvConnector', in_channels=4, out_channels=8), (0,), False),
        (dict(type='ConvConnector', in_channels=4, out_channels=8), None, True),  # how many levels?
        (dict(type='mmrazor.ConvModuleConnector', in_channel=4, out_channel=8), (0,), False),
    ],
)
def test_channels_are_looked_for_only_where_the_config_lacks_them(connector, levels, needed):
    assert parse_short_form(dict(x=dict(CLS, connector=connector, levels=levels)))[0].needs_channels is needed


@pytest.mark.parametrize(
    ('distill', 'message'),
    [
        ([], 'distill: a dict of named losses was expected'),
        ({}, 'distill: at least one loss was expected'),
        (dict(x='neck'), 'distill.x: a dict with taps and loss was expected'),
        (dict(x=dict(taps='neck')), 'distill.x.loss: missing'),
        (dict(x=dict(loss=dict(type='PixelWiseLoss'))), 'distill.x.taps: missing'),
        (dict(x=dict(CLS, level=1)), "distill.x: the keys are .*got 'level'"),
        (dict(x=dict(CLS, levels=(-1,))), r'distill.x.levels: indices of levels, from 0, were expected, got \(-1,\)'),
        (dict(x=dict(CLS, levels='first')), "distill.x.levels: .*got 'first'"),
        (dict(x=dict(CLS, levels=())), 'distill.x.levels'),
        (dict(x=dict(CLS, taps=3)), 'distill.x.taps: .*got 3'),
        (dict(x=dict(CLS, taps=dict(source='a', idx=1))), "distill.x.taps: the keys of a tap are .*got 'idx'"),
        (dict(x=dict(CLS, taps=dict(source='a', record_idx=1), levels=(0,))), 'distill.x: levels and record_idx'),
        (dict(x=dict(CLS, reduce='max')), "distill.x.reduce: 'mean' or 'sum' was expected, got 'max'"),
        (dict(x=dict(CLS, connector=1)), 'distill.x.connector: a name or a config was expected, got 1'),
        (dict(x=dict(CLS, loss='PixelWiseLoss')), 'distill.x.loss: a dict with type was expected'),
        (dict(x=dict(CLS, loss=dict(type='NoSuchLoss', weight=1))), "distill.x.loss.type: 'NoSuchLoss' is not regis"),
        (dict(x=dict(CLS, loss=dict(type='PixelWiseLoss', weight=1, loss_weight=1))), 'weight and loss_weight'),
        ({'a.b': CLS}, 'distill.a.b: a name without a dot'),
    ],
)
def test_mistakes_are_named(distill, message):
    with pytest.raises(ValueError, match=message):
        parse_short_form(distill)


def test_a_loss_that_is_not_registered_is_named_without_a_weight_too():
    with pytest.raises(ValueError, match=r"distill.x.loss.type: 'NoSuchLoss' is not registered"):
        compiled(dict(CLS, loss=dict(type='NoSuchLoss')))
