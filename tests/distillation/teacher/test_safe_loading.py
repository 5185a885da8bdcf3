"""With an algorithm of mmkd in a process, mmengine runs no code of a checkpoint, whoever starts the training."""

import pytest
from helpers.distillation_toys import toy, two_losses
from helpers.foreign_files import save_malicious
from mmengine.model import BaseModule, PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner import checkpoint as mmengine_loaders
from torch import nn

from mmkd.registry import MODELS
from mmkd.utils.errors import CheckpointError


class Backbone(BaseModule):
    def __init__(self, **options):
        super().__init__(**options)
        self.conv = nn.Conv2d(3, 4, 1)


@pytest.fixture
def as_mmengine_comes(monkeypatch):
    """Undoes what other tests in this process have installed."""
    loaders = {
        '': mmengine_loaders.load_from_local,
        'http://': mmengine_loaders.load_from_http,
        'https://': mmengine_loaders.load_from_http,
    }
    monkeypatch.setattr(CheckpointLoader, '_schemes', loaders)
    before = WEIGHT_INITIALIZERS.get('Pretrained')
    WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=PretrainedInit, force=True)
    yield
    WEIGHT_INITIALIZERS.register_module(name='Pretrained', module=before, force=True)


@pytest.mark.parametrize('kind', ['DenseDistill', 'AdversarialDistill'])
def test_building_an_algorithm_is_enough(kind, as_mmengine_comes, tmp_path):
    path = save_malicious(tmp_path / 'a.pth', tmp_path / 'ran')
    config = dict(type=f'mmkd.{kind}', student=toy(), teacher=toy(allow_random=True), distill=two_losses())
    if kind == 'AdversarialDistill':
        config['holistic'] = dict(
            discriminator=dict(type='HolisticDiscriminator'), taps='backbone.conv', mode='wgan-gp'
        )
    MODELS.build(config)
    for load in (
        lambda: load_checkpoint(Backbone(), path),
        lambda: Backbone(init_cfg=dict(type='Pretrained', checkpoint=path)).init_weights(),
        lambda: Backbone(init_cfg=dict(type='Pretrained', checkpoint=path, prefix='backbone')).init_weights(),
    ):
        with pytest.raises(CheckpointError, match='could run code'):
            load()
    assert not (tmp_path / 'ran').exists()
