"""What recorders keep, in mmrazor's words and the short form's, and what is read of it."""

import copy
import sys

import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmkd.distillation.taps.levels import Reading
from mmkd.distillation.taps.recorder import Recorder
from mmkd.distillation.taps.recorders import Recorders
from mmkd.distillation.taps.tap import Tap


def scaled(x, factor=2):
    """A function to be recorded."""
    return x * factor


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls = nn.Conv2d(2, 2, 1)

    def forward(self, levels):
        return [self.cls(level) for level in levels]

    def decode(self, levels, shift=0):
        return levels[0].sum() + shift


class Net(nn.Module):
    """A backbone, a head that is called a second time (to predict, as CondInst does), and a tail."""

    def __init__(self, calls_of_the_head=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.head = Head()
        self.blocks = nn.ModuleList([nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)])
        self.tail = nn.Conv2d(2, 2, 1)
        self.calls_of_the_head = calls_of_the_head

    def forward(self, x):
        x = scaled(self.conv(x), factor=3)
        for _ in range(self.calls_of_the_head):
            out = self.head([x, x + 1, x + 2])
        self.head.decode(out, shift=1)
        for block in self.blocks:
            x = block(x)
        return self.tail(x)


def record(type, source, net=None, taps=()):
    net = net or Net()
    recorder = Recorder(type, source)
    for tap in taps:
        recorder.add_tap(tap)
    with recorder.attached(net):
        net(torch.ones(1, 3, 4, 4))
    return recorder


# ---- mmrazor's types -------------------------------------------------------------------------------------------------


HERE = __name__


@pytest.mark.parametrize(
    ('kind', 'source', 'expected'),
    [
        ('ModuleOutputs', 'conv', lambda net, x: [net.conv(x)]),
        ('mmrazor.ModuleOutputs', 'conv', lambda net, x: [net.conv(x)]),
        ('ModuleInputs', 'conv', lambda net, x: [(x,)]),
        ('ModuleInputs', '', lambda net, x: [(x,)]),
        ('ModuleOutputs', 'head.decode', lambda net, x: [net.head.decode(net.head(levels(net, x)), shift=1)]),
        ('FunctionOutputs', f'{HERE}.scaled', lambda net, x: [3 * net.conv(x)]),
        ('FunctionInputs', f'{HERE}.scaled', lambda net, x: [[net.conv(x), 3]]),
        ('MethodOutputs', f'{HERE}.Head.decode', lambda net, x: [net.head.decode(net.head(levels(net, x))) + 1]),
        ('MethodInputs', f'{HERE}.Head.decode', lambda net, x: [[net.head(levels(net, x)), 1]]),
        ('Parameter', 'head.cls.weight', lambda net, x: [net.head.cls.weight]),
    ],
)
def test_each_type_records_what_it_says(kind, source, expected):
    net = Net()
    before = (scaled, Head.decode, dict(vars(net.head)))
    found = record(kind, source, net)
    torch.testing.assert_close(found.data_buffer, expected(net, torch.ones(1, 3, 4, 4)))
    assert before == (sys.modules[HERE].scaled, Head.decode, dict(vars(net.head)))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    found.clear()
    assert found.data_buffer == []


def levels(net, x):
    x = 3 * net.conv(x)
    return [x, x + 1, x + 2]


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='ModulesOutputs', source='conv'), "x.type: one of ModuleOutputs, .*, got 'ModulesOutputs'"),
        (dict(type='ModuleOutputs', sources='conv'), r'x: dict\(type=..., source=...\) was expected'),
        (dict(type='FunctionOutputs', source=f'{HERE}.nothing'), "x.source: '.*nothing' cannot be imported"),
        (
            dict(type='FunctionOutputs', source=f'{HERE}.Head'),
            'x.source: a function, package.module.name, was',
        ),
        (dict(type='MethodOutputs', source=f'{HERE}.scaled'), 'x.source: .* cannot be imported'),
    ],
)
def test_a_wrong_config_is_named(config, message):
    with pytest.raises(ValueError, match=f'student_recorders.{message}'):
        Recorders(dict(x=config), 'student')


def test_a_list_of_modules_is_refused_since_it_is_never_called():
    recorders = Recorders(dict(x=dict(type='ModuleOutputs', source='blocks')), 'teacher')
    message = "teacher_recorders.x: 'blocks' of the teacher is a ModuleList, .* tap its items: 'blocks.0', 'blocks.1'"
    with pytest.raises(ValueError, match=message):
        recorders.initialize(Net())


# ---- each tap for itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize('later', [(), ('tail',)])
@pytest.mark.parametrize('reading', [dict(levels='all'), dict(levels=(0, 2)), dict(levels=(2,)), dict(record_idx=1)])
def test_what_is_recorded_does_not_depend_on_what_is_read_after_it(reading, later):
    names = {name: dict(type='ModuleOutputs', source=name) for name in ('head.cls', *later)}
    recorders, net = Recorders(names, 'student'), Net()
    cls = Reading(recorders.get_recorder('head.cls'), 'student', **reading)
    for recorder in recorders.recorders.values():
        recorder.add_tap(cls.tap if recorder is cls.recorder else Tap('tail'))
    with recorders.attached(net):
        net(torch.ones(1, 3, 4, 4))
    expected = record('ModuleOutputs', 'head.cls', net).data_buffer[:3]
    found = cls.read()
    if 'record_idx' in reading:
        torch.testing.assert_close(found, expected[1])
    else:
        wanted = (0, 1, 2) if reading['levels'] == 'all' else reading['levels']
        torch.testing.assert_close(list(found), [expected[i] for i in wanted])


def test_two_losses_on_one_tap_read_each_their_own_calls():
    """The one that asks for the fifth call does not make five levels of what the other takes for all."""
    recorder = Recorder('ModuleOutputs', 'head.cls')
    every, fifth = Reading(recorder, 'student', levels='all'), Reading(recorder, 'student', record_idx=4)
    found = record('ModuleOutputs', 'head.cls', taps=(every.tap, fifth.tap))
    assert len(Reading(found, 'student', levels='all').read()) == 3
    assert len(found.data_buffer) == 5 and found.calls == 6


def test_a_recorder_of_which_nothing_is_known_records_every_call():
    assert len(record('ModuleOutputs', 'head.cls').data_buffer) == 6


def test_a_copy_of_a_network_is_recorded_apart():
    recorders = Recorders(dict(x=dict(type='ModuleOutputs', source='conv')), 'student')
    net = Net()
    with recorders.attached(net):
        twin = copy.deepcopy(recorders)
        net(torch.ones(1, 3, 4, 4))
    assert recorders.get_recorder('x').data_buffer and not twin.get_recorder('x').data_buffer


# ---- what is read ----------------------------------------------------------------------------------------------------


def reading(records, **where):
    recorder = Recorder('ModuleOutputs', 'tap')
    recorder.data_buffer = list(records)
    return Reading(recorder, 'student', **where)


@pytest.mark.parametrize(
    ('records', 'where', 'expected'),
    [
        (['a', 'b'], dict(), 'a'),
        (['a', 'b'], dict(record_idx=1), 'b'),
        ([('a', 'b')], dict(data_idx=1), 'b'),
        ([('a', 'b', 'c')], dict(levels='all'), ['a', 'b', 'c']),
        ([['a', 'b', 'c']], dict(levels=(2, 0)), ['c', 'a']),
        (['a', 'b', 'c'], dict(levels=(1,)), ['b']),
        ([('a', 'x'), ('b', 'y')], dict(levels='all', data_idx=0), ['a', 'b']),
        ([(('a', 'b'), 'x')], dict(levels='all', data_idx=0), ['a', 'b']),
        (['a'], dict(levels='all'), ['a']),
    ],
)
def test_records_are_read(records, where, expected):
    assert reading(records, **where).read() == expected


@pytest.mark.parametrize(
    ('records', 'where', 'message'),
    [
        ([], dict(), "tap 'tap' of the student was not reached"),
        (['a'], dict(record_idx=1), 'has 1 records, record_idx=1 is asked for'),
        ([('a', 'b')], dict(data_idx=2), 'has 2 outputs, data_idx=2 is asked for'),
        (['a'], dict(data_idx=0), 'gives a str, of which data_idx=0 is asked for'),
        (['a', 'b'], dict(levels=(2,)), r'has the levels \[0, 1\], but \[2\] are asked for'),
        ([('a', 'x'), ('b', 'y')], dict(levels='all'), 'called 2 times with several outputs each'),
    ],
)
def test_records_that_are_not_there_are_named(records, where, message):
    with pytest.raises(ValueError, match=message):
        reading(records, **where).read()


# ---- in place --------------------------------------------------------------------------------------------------------


def test_a_model_that_begins_to_write_over_a_tap_is_stopped():
    class Fickle(BaseModel):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.in_place = False

        def forward(self, inputs, data_samples=None, mode='tensor'):
            x = self.conv(inputs)
            return x.relu_() if self.in_place else x.relu()

    model, recorders = Fickle(), Recorders(dict(x=dict(type='ModuleOutputs', source='conv')), 'student')
    recorders.initialize(model)
    with recorders.attached(model):
        model(torch.ones(1, 3, 4, 4))
    model.in_place = True
    with (
        pytest.raises(RuntimeError, match=r"the student's \['conv'\] were written over in place"),
        recorders.attached(model),
    ):
        model(torch.ones(1, 3, 4, 4))
