"""The sizes that networks are tried with."""

import pytest
from torch import nn

from mmkd.distillation.taps.trial_sizes import TrialSizes


def network(size):
    model = nn.Module()
    model.data_preprocessor = nn.Module()
    model.data_preprocessor.size = size
    return model


def test_of_batches_where_a_network_takes_no_small_ones():
    sizes = TrialSizes.from_config(True, network((640, 512)))
    asked = []

    def look(size):
        asked.append(size)
        if size != (640, 512):
            raise RuntimeError('patches')
        return 'found'

    assert sizes.first_that_works(look) == 'found' and asked == [(256, 256), (640, 512)]
    assert sizes.first_that_works(look) == 'found' and asked[2:] == [(640, 512)]  # from then on


def test_what_a_config_gives_is_the_only_one():
    assert TrialSizes.from_config(dict(size=(64, 96)), network(128)).sizes == ((64, 96),)
    assert TrialSizes.from_config(True, network(128)).sizes == ((256, 256), (128, 128))
    with pytest.raises(ValueError, match='dry_run: True, False or dict'):
        TrialSizes.from_config(dict(size=3), network(None))
