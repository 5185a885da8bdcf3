"""Runs of one test are forgotten in the next: what one leaves, the other must not find."""

import pytest
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope


@pytest.mark.parametrize('turn', [1, 2])
def test_default_scope_of_another_test_is_gone(turn):
    assert DefaultScope.get_current_instance() is None
    assert not MessageHub.check_instance_created('run_of_the_test')
    DefaultScope.get_instance('run_of_the_test', scope_name='mmseg')
    MessageHub.get_instance('run_of_the_test')
