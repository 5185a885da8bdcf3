"""Exceptions of a run that are no fault of the code get a line; all others keep their traceback."""

import os
import signal

import pytest
import torch
from torch.utils.data import DataLoader

from mmkd.apis.explain import explain


def caught(function) -> BaseException:
    with pytest.raises(Exception) as info:
        function()
    return info.value


def test_batch_norm_of_one_value():
    error = caught(lambda: torch.nn.BatchNorm2d(3)(torch.zeros(1, 3, 1, 1)))
    assert explain(error).startswith('train_dataloader.batch_size: batch norm needs more than one value')
    assert '[1, 3, 1, 1]' in explain(error)


def test_channels_that_do_not_fit():
    error = caught(lambda: torch.nn.Conv2d(99, 8, 1)(torch.zeros(1, 32, 2, 2)))
    assert 'a convolution that expects 99 channels was given 32' in explain(error)


class Killed:
    def __len__(self):
        return 2

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed():
    error = caught(lambda: list(DataLoader(Killed(), num_workers=1)))
    assert explain(error).startswith('a data worker (process ') and 'num_workers' in explain(error)


def test_what_is_not_known_is_left_alone():
    assert explain(RuntimeError('something else')) is None
    assert explain(KeyError('distill.cls: no ValueError')) is None
