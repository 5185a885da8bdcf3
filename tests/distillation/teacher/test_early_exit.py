"""A forward ends with the last thing that is read from it."""

import pytest
import torch
from torch import nn

from mmkd.distillation.teacher.early_exit import Tap, run_until_last_tap


class Net(nn.Module):
    """stem -> shared head on three levels -> tail, and a note of everything that ran."""

    def __init__(self, call_head_directly=False):
        super().__init__()
        self.stem = nn.Linear(2, 2)
        self.neck = Neck()
        self.head = Head()
        self.branches = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.tail = nn.Linear(2, 2)
        self.call_head_directly = call_head_directly
        self.ran = []
        for name, module in self.named_modules():
            if name:
                module.register_forward_hook(lambda m, a, o, name=name: self.ran.append(name))

    def forward(self, x):
        levels = self.neck(self.stem(x))
        levels = self.head.forward(levels) if self.call_head_directly else self.head(levels)
        self.ran.append('after head')
        for branch in self.branches:
            x = branch(x)
        return self.tail(x)


class Neck(nn.Module):
    def forward(self, x):
        return x, x, x


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls = nn.Linear(2, 2)
        self.reg = nn.Linear(2, 2)

    def forward(self, levels):
        return [self.reg(self.cls(x)) for x in levels]


def run(net, *taps, known=None):
    net.ran.clear()
    stopped = run_until_last_tap(net, taps, lambda: net(torch.ones(1, 2)), known)
    return net.ran, stopped


def test_known_calls_end_the_forward_right_after_the_last_of_them():
    assert run(Net(), Tap('stem')) == (['stem'], True)
    assert run(Net(), Tap('head.cls', calls=2)) == (['stem', 'neck', 'head.cls', 'head.reg', 'head.cls'], True)


def test_unknown_calls_end_the_forward_with_the_enclosing_child():
    ran, stopped = run(Net(), Tap('head.cls', calls=None))
    assert stopped and ran == ['stem', 'neck'] + ['head.cls', 'head.reg'] * 3


def test_a_head_whose_forward_is_called_directly_ends_the_forward_as_well():
    ran, stopped = run(Net(call_head_directly=True), Tap('head.cls', calls=None))
    assert stopped and ran == ['stem', 'neck'] + ['head.cls', 'head.reg'] * 3


def test_a_tuple_of_levels_needs_no_second_call():
    assert run(Net(), Tap('neck', calls=None, one_sequence=True)) == (['stem', 'neck'], True)
    assert run(Net(), Tap('neck', calls=3, one_sequence=True)) == (['stem', 'neck'], True)


def test_the_last_of_several_taps_decides_whatever_their_order():
    for taps in ([Tap('head.reg', None), Tap('stem')], [Tap('stem'), Tap('head.reg', None), Tap('head.cls', None)]):
        ran, stopped = run(Net(), *taps)
        assert stopped and ran[-1] == 'head.reg' and ran.count('head.reg') == 3


@pytest.mark.parametrize('source, last', [('branches.0', 'branches.0'), ('stem', 'stem')])
def test_how_often_a_child_of_the_model_is_called_is_known_from_the_second_time_on(source, last):
    """A list of modules has no forward of its own, and encloses nothing."""
    net, known = Net(), {}
    ran, stopped = run(net, Tap(source, calls=None), known=known)
    assert not stopped and ran[-1] == 'tail' and known == {source: 1}
    ran, stopped = run(net, Tap(source, calls=None), known=known)
    assert stopped and ran[-1] == last


def test_all_calls_of_a_child_of_the_model_are_awaited():
    class Repeating(Net):
        def forward(self, x):
            return super().forward(self.stem(self.stem(x)))

    net, known = Repeating(), {}
    for stopped in (False, True):
        ran, ended = run(net, Tap('stem', calls=None), known=known)
        assert ran.count('stem') == 3 and ended is stopped
    assert ran == ['stem'] * 3


def test_a_tap_that_is_not_reached_lets_the_forward_run_to_its_end():
    ran, stopped = run(Net(), Tap('stem', calls=2))
    assert not stopped and ran[-1] == 'tail'


def test_without_taps_nothing_runs():
    assert run(Net()) == ([], True)


def test_the_network_is_left_as_it_was():
    net = Net()
    hooks = {name: len(m._forward_hooks) for name, m in net.named_modules()}
    for _ in range(2):
        run(net, Tap('head.cls', None), Tap('head.reg', None))
    assert hooks == {name: len(m._forward_hooks) for name, m in net.named_modules()}
    assert 'forward' not in vars(net.head)
    net.ran.clear()
    net(torch.ones(1, 2))
    assert net.ran[-1] == 'tail'


def test_a_network_that_swallows_exceptions_is_stopped_all_the_same():
    class Careless(Net):
        def forward(self, x):
            try:
                return super().forward(x)
            except Exception:
                self.ran.append('swallowed')
                return None

    assert run(Careless(), Tap('stem')) == (['stem'], True)


def test_errors_of_the_network_come_out():
    with pytest.raises(ZeroDivisionError):
        run_until_last_tap(Net(), [Tap('stem')], lambda: 1 / 0)
