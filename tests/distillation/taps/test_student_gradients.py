"""A distillation loss whose records need no gradient teaches nothing: it is pointed out, with name and reason."""

import pytest
import torch
from helpers.distillation_toys import ToyBackbone, ToyDetector, batch, toy, two_losses
from torch import nn
from torch.utils import checkpoint as cp

from mmkd.distillation.algorithms import DenseDistill
from mmkd.registry import MODELS

TEACHER = dict(toy(channels=4, out_channels=6), allow_random=True)
SAME = dict(taps='backbone.residual', loss=dict(type='FeatureMSELoss'))


class RecomputingBackbone(ToyBackbone):
    """Everything after the first layer lies inside activation checkpointing, as mmdet and mmseg call it."""

    options = {}

    def forward(self, x):
        return cp.checkpoint(self.rest, self.conv(x), **self.options)

    def rest(self, x):
        x = self.relu(self.bn(x))
        return self.residual(x) + x


@MODELS.register_module()
class RecomputingDetector(ToyDetector):
    def __init__(self, options=None, **kwargs):
        super().__init__(channels=4, out_channels=6, **kwargs)
        self.backbone = RecomputingBackbone(4)
        self.backbone.options = options or {}


def build(student, distill, **options):
    torch.manual_seed(0)
    return DenseDistill(student=student, teacher=TEACHER, distill=distill, dry_run=dict(size=(32, 32)), **options)


def recomputing(**options):
    return dict(type='mmkd.RecomputingDetector', options=options)


def gradient(algorithm):
    algorithm.train()(batch(), mode='loss')['distill.loss_x'].backward()
    return algorithm.student.backbone.conv.weight.grad


@pytest.fixture
def said(monkeypatch):
    """What is written to the log about gradients."""
    messages = []
    target = 'mmkd.distillation.taps.gradients.print_log'
    monkeypatch.setattr(target, lambda message, **kwargs: messages.append(message), raising=False)
    return messages


def test_checkpointing_as_the_hosts_call_it_keeps_the_gradient_of_a_tap_inside():
    """They leave ``use_reentrant`` out, which PyTorch takes for True: the inside then runs without gradients."""
    recomputed = gradient(build(recomputing(), dict(x=SAME)))
    plain = build(recomputing(), dict(x=SAME))
    plain.student.backbone.forward = lambda x: plain.student.backbone.rest(plain.student.backbone.conv(x))
    assert recomputed is not None and recomputed.abs().max() > 0
    torch.testing.assert_close(recomputed, gradient(plain))


def test_checkpointing_switched_on_by_mmengine_keeps_it_too():
    from mmengine.runner.activation_checkpointing import turn_on_activation_checkpointing

    algorithm = build(toy(channels=4, out_channels=6, dropout=0.0), dict(x=SAME))
    turn_on_activation_checkpointing(algorithm.student, ['backbone'])
    assert gradient(algorithm).abs().max() > 0


def test_the_default_of_pytorch_is_its_own_again_afterwards():
    gradient(build(recomputing(), dict(x=SAME)))
    inside = []
    x = torch.ones(1, requires_grad=True)
    cp.checkpoint(lambda x: inside.append(torch.is_grad_enabled()) or 2 * x, x, use_reentrant=True)
    defaults = {}
    for function in (cp.checkpoint, getattr(cp.checkpoint, '__wrapped__', cp.checkpoint)):
        defaults.update(function.__kwdefaults__ or {})
    assert inside == [False] and defaults['use_reentrant'] is None


def test_reentrant_checkpointing_asked_for_is_refused_by_name():
    algorithm = build(recomputing(use_reentrant=True), dict(x=SAME))
    with pytest.raises(ValueError, match=r"distill.x: .*'backbone.residual'.*use_reentrant=True.*use_reentrant=False"):
        algorithm.init_weights()


def test_frozen_layers_are_refused_by_name():
    algorithm = build(toy(channels=4, out_channels=6), dict(x=dict(SAME, taps='backbone.conv')))
    algorithm.student.backbone.conv.requires_grad_(False)
    with pytest.raises(ValueError, match=r"distill.x: .*'backbone.conv'.*frozen"):
        algorithm.init_weights()


def test_a_trained_connector_does_not_hide_a_frozen_tap():
    """Its own gradient is what kept the loss from being noticed."""
    algorithm = build(toy(channels=4, out_channels=6), dict(x=dict(SAME, connector='conv1x1')))
    algorithm.student.backbone.requires_grad_(False)
    with pytest.raises(ValueError, match=r"distill.x: .*'backbone.residual'.*frozen"):
        algorithm.init_weights()


def test_a_dead_level_is_named_and_the_others_are_taught(said):
    taps = ['backbone.conv', 'backbone', 'neck.convs.0']
    algorithm = build(toy(channels=4, out_channels=6), dict(x=dict(SAME, taps=taps)))
    algorithm.student.backbone.conv.requires_grad_(False)
    algorithm.init_weights()
    assert len(said) == 1 and "distill.x: level 0 of 3 (tap 'backbone.conv')" in said[0] and 'frozen' in said[0]


def test_what_only_training_reaches_is_looked_at_in_the_first_step(said):
    algorithm = build(toy(channels=4, out_channels=6), dict(aux=dict(SAME, taps='auxiliary_head')))
    algorithm.student.requires_grad_(False)
    algorithm.student.bbox_head.requires_grad_(True)
    algorithm.train()
    for _ in range(3):
        algorithm(batch(), mode='loss')
    assert len(said) == 1 and 'distill.aux' in said[0] and "'auxiliary_head'" in said[0]


def test_a_loss_that_loses_the_gradient_itself_is_pointed_out(said):
    algorithm = build(toy(channels=4, out_channels=6, dropout=0.0), dict(x=SAME))

    class Detached(nn.Module):
        def forward(self, preds_S, preds_T):
            return (preds_S.detach() - preds_T).square().mean()

    algorithm.distiller.distill_losses['loss_x'] = Detached()
    algorithm.train()(batch(), mode='loss')
    assert len(said) == 1 and 'distill.x' in said[0] and 'Detached' in said[0]


def test_nothing_is_said_where_all_is_taught_or_nothing_is_to_be_trained(said):
    algorithm = build(toy(channels=4, out_channels=6), two_losses())
    algorithm.init_weights()
    algorithm.train()(batch(), mode='loss')
    still = build(toy(channels=4, out_channels=6), dict(x=SAME), student_trainable=False, calculate_student_loss=False)
    still.init_weights()
    still.train()(batch(), mode='loss')
    assert said == []


def test_mmdets_resnet_is_taught_inside_its_checkpointed_blocks():
    from mmengine.model import BaseModel

    @MODELS.register_module(force=True)
    class OnlyABackbone(BaseModel):
        def __init__(self, with_cp=False):
            super().__init__()
            config = dict(type='mmdet.ResNet', depth=18, base_channels=4, num_stages=2, strides=(1, 2))
            config.update(dilations=(1, 1), out_indices=(0, 1), frozen_stages=0, init_cfg=None, with_cp=with_cp)
            self.backbone = MODELS.build(config)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            levels = self.backbone(inputs)
            return levels if mode == 'tensor' else dict(loss_x=levels[0].mean())

    distill = dict(x=dict(taps='backbone.layer1.1.conv1', loss=dict(type='FeatureMSELoss')))
    network = dict(type='mmkd.OnlyABackbone')
    found = {}
    for with_cp in (False, True):
        torch.manual_seed(0)
        algorithm = DenseDistill(
            student=dict(network, with_cp=with_cp), teacher=dict(network, allow_random=True), distill=distill,
            dry_run=dict(size=(32, 32)),
        )  # fmt: skip
        algorithm.prepare()
        algorithm.train()(batch(), mode='loss')['distill.loss_x'].backward()
        found[with_cp] = algorithm.student.backbone.layer1[1].conv1.weight.grad
    assert found[True].abs().max() > 0
    torch.testing.assert_close(found[True], found[False])
