"""Everything that can be tapped in a network, found by running it."""

import pytest
import torch
from torch import nn

from mmkd.distillation.taps import survey as survey_module
from mmkd.distillation.taps.survey import survey

SIZE = (32, 48)


class Net(nn.Module):
    """Strides 2 and 4; the head is called on both, past its hooks; a branch runs in training only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Conv2d(4, 4, 3, 2, 1)
        self.head = nn.Conv2d(4, 5, 1)
        self.auxiliary = nn.Conv2d(4, 7, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 6)
        self.tokens = nn.Identity()
        self.never = nn.ModuleList([nn.Conv2d(1, 1, 1)])

    def forward(self, x):
        first = self.relu(self.norm(self.conv(x)))
        second = self.down(first)
        outs = [self.head.forward(level) for level in (first, second)]
        if self.training:
            self.auxiliary(second)
        self.tokens(second.flatten(2).transpose(1, 2))
        self.fc(self.pool(second).flatten(1))
        second += 1
        return outs


@pytest.fixture(scope='module')
def found():
    return survey(Net(), SIZE)


@pytest.fixture
def rows(found):
    return {row.name: row for row in found.modules}


def test_what_is_never_called_is_not_listed_and_what_is_called_past_its_hooks_has_the_name_of_its_forward(rows):
    assert list(rows) == ['conv', 'norm', 'relu', 'down', 'head.forward', 'tokens', 'pool', 'fc', 'auxiliary']


def test_calls_are_counted_in_eval_and_in_train(rows):
    assert rows['conv'].calls == dict(eval=1, train=1)
    assert rows['head.forward'].calls == dict(eval=2, train=2)
    assert rows['auxiliary'].calls == dict(eval=0, train=1)


def test_shapes_strides_and_channels_are_those_of_each_map(rows):
    assert rows['head.forward'].shapes['eval'] == [(2, 5, 16, 24), (2, 5, 8, 12)]
    assert rows['head.forward'].strides == [2, 4] and rows['head.forward'].channels == [5, 5]
    assert rows['tokens'].shapes['eval'] == [(2, 96, 4)]
    assert rows['tokens'].strides == [4] and rows['tokens'].channels == [4]
    assert rows['fc'].strides == [None] and rows['fc'].channels == [6]
    assert rows['auxiliary'].shapes == dict(eval=[], train=[(2, 7, 8, 12)]) and rows['auxiliary'].channels == [7]


def test_what_an_in_place_operation_writes_over_is_marked(rows):
    # the norm is written over by the ReLU, the second convolution by the addition, of which no module knows
    assert [name for name, row in rows.items() if row.overwritten] == ['norm', 'down', 'tokens']


def test_shares_of_the_time_are_of_the_whole_forward(rows, found):
    assert found.seconds > 0
    assert all(0 < row.time < 1 for name, row in rows.items() if name != 'auxiliary')
    assert rows['auxiliary'].time == 0


def test_nothing_of_it_stays_on_the_network():
    net = Net()
    survey(net, SIZE)
    assert all('forward' not in vars(module) for module in net.modules())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in net.modules())


def test_the_random_numbers_of_the_run_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    net = Net()
    torch.manual_seed(3)
    survey(net, SIZE)
    assert torch.equal(torch.rand(2), expected)


def test_a_network_that_does_not_run_says_why():
    with pytest.raises(ValueError, match='does not run on images of 32 x 48: eval tensor: RuntimeError: .*4, 1, 3, 3'):
        survey(nn.Conv2d(1, 4, 3), SIZE)


@pytest.mark.parametrize(
    ('shape', 'stride'),
    [
        ((2, 8, 128, 64), 8),
        ((2, 8, 65, 33), pytest.approx(15.75, abs=0.1)),
        ((2, 8, 2, 1), 512),
        ((2, 8, 14, 14), None),  # not of the form of the image
        ((100, 8, 64, 32), None),  # not one for each image
        ((2, 2048, 8), 16),
        ((2, 2049, 8), 16),  # with a token of the class
        ((2, 300, 8), None),
        ((2, 8), None),
    ],
)
def test_strides(shape, stride):
    assert survey_module.stride_of(shape, (1024, 512)) == stride


@pytest.mark.parametrize(
    ('shape', 'channels'),
    [((2, 8, 4, 5), 8), ((100, 8, 7, 7), 8), ((2, 96, 4), 4), ((6, 2, 900, 256), 256), ((9, 3), 3)],
)
def test_channels(shape, channels):
    assert survey_module._channels(shape) == channels
