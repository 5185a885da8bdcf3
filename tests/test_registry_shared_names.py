"""Names that mmkd and a library it extends both have: a plain one is never mmkd's but where mmkd's words are spoken."""

import json

import pytest
import torch
from helpers.distillation_toys import batch, toy
from helpers.fresh_interpreter import run_python
from mmdet.registry import HOOKS as DETECTION_HOOKS
from mmdet.registry import MODELS as DETECTION
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import MODELS as ROOT
from mmrazor.models.losses import PKDLoss as MmrazorsPKDLoss
from mmseg.registry import MODELS as SEGMENTATION

from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.losses import PKDLoss
from mmkd.engine.hooks import StopDistillHook
from mmkd.registry import HOOKS, MODELS, SHARED_NAMES

LOSSES = [name for name in SHARED_NAMES if name.endswith(('Loss', 'Divergence'))]

# Run in an interpreter of its own, after imports in one order or the other.
WHAT_NAMES_MEAN = """
import json, mmdet.registry, mmkd.registry, mmseg.registry, mmrazor.registry
from importlib import import_module
from mmengine import registry as root
from mmkd.compat import import_mmrazor

import_mmrazor()
import_module('mmkd.distillation.algorithms')
scopes = dict(root=root, mmdet=mmdet.registry, mmseg=mmseg.registry, mmrazor=mmrazor.registry, mmkd=mmkd.registry)
meant, shared = {}, set()
for kind in mmkd.registry.__all__:
    registries = {scope: getattr(module, kind) for scope, module in scopes.items() if hasattr(module, kind)}
    for registry in registries.values():
        registry.import_from_location()
    for name, ours in registries['mmkd'].module_dict.items():
        hosts = [r.module_dict.get(name) for scope, r in registries.items() if scope != 'mmkd']
        # what mmkd put into the root itself, or mends mmrazor with, is the same class
        if any(host not in (None, ours) for host in hosts) or name in mmkd.registry.SHARED_NAMES:
            shared.add(name)
            for scope, registry in registries.items():
                found = registry.get(name)
                meant[f'{kind} {scope} {name}'] = found and found.__module__.split('.')[0]
            assert registries['root'].get(f'mmkd.{name}') is ours, name
print(json.dumps([sorted(shared), meant]))
"""
HOSTS_FIRST = 'from mmkd.compat import import_mmrazor; import_mmrazor(); import mmdet.models, mmseg.models'
MMKD_FIRST = 'import mmkd.models, mmkd.distillation.losses, mmkd.engine, mmkd.datasets, mmkd.evaluation'


@pytest.mark.slow
@pytest.mark.parametrize('first', [HOSTS_FIRST, MMKD_FIRST], ids=['hosts', 'mmkd'])
def test_names_mean_the_same_whatever_is_imported_first(first, tmp_path):
    printed = run_python(f'{first}\n{WHAT_NAMES_MEAN}', tmp_path)
    shared, meant = json.loads(printed.splitlines()[-1])
    assert shared == sorted(SHARED_NAMES)
    for key, library in meant.items():
        kind, scope, name = key.split()
        if scope == 'mmkd':
            assert library == 'mmkd', key
        elif name == 'MobileNetV2':
            assert library == (scope if scope in ('mmdet', 'mmseg') else None), key
        elif name == 'StopDistillHook':  # mmrazor's is mended, see mmkd.compat
            assert library == ('mmkd' if scope == 'mmrazor' else None), key
        else:
            assert library == ('mmrazor' if scope == 'mmrazor' else None), key


@pytest.mark.parametrize('name', LOSSES)
def test_the_prefix_is_needed_from_the_scope_of_a_host(name):
    for registry in (ROOT, DETECTION, SEGMENTATION):
        assert registry.get(name) is None
        assert registry.get(f'mmkd.{name}').__module__.startswith('mmkd.')
        assert registry.get(f'mmrazor.{name}').__module__.startswith('mmrazor.')


def test_the_prefix_is_needed_for_a_hook():
    for registry in (ROOT_HOOKS, DETECTION_HOOKS):
        assert registry.get('StopDistillHook') is None
        assert registry.get('mmkd.StopDistillHook') is StopDistillHook


def test_a_plain_name_in_a_dict_inherited_from_mmkd_is_mmkds():
    # `_scope_` is what `_base_ = 'mmkd::...'` writes into each dict of the base
    assert type(ROOT.build(dict(type='PKDLoss', _scope_='mmkd'))) is PKDLoss
    assert type(ROOT_HOOKS.build(dict(type='StopDistillHook', stop_epoch=1, _scope_='mmkd'))) is StopDistillHook
    assert MODELS.get('MobileNetV2').__module__.startswith('mmkd.')
    assert HOOKS.get('StopDistillHook') is StopDistillHook


@pytest.mark.parametrize('kind', ['PKDLoss', 'mmkd.PKDLoss', 'mmrazor.PKDLoss'])
@pytest.mark.parametrize('short', [True, False], ids=['distill', 'distiller'])
def test_a_plain_name_in_distill_is_mmkds_and_in_distiller_mmrazors(kind, short):
    student = toy(out_channels=10)
    if short:
        losses = dict(distill=dict(fpn=dict(taps='neck', loss=dict(type=kind))))
    else:
        recorders = dict(fpn=dict(type='ModuleOutputs', source='neck'))
        words = dict(
            type='ConfigurableDistiller',
            student_recorders=recorders,
            teacher_recorders=recorders,
            distill_losses=dict(loss_fpn=dict(type=kind)),
            loss_forward_mappings=dict(
                loss_fpn=dict(
                    preds_S=dict(recorder='fpn', from_student=True, levels='all'),
                    preds_T=dict(recorder='fpn', from_student=False, levels='all'),
                )
            ),
        )
        losses = dict(distiller=words)
    algorithm = DenseDistill(student=student, teacher=dict(student, allow_random=True), **losses)
    plain = PKDLoss if short else MmrazorsPKDLoss
    expected = {'PKDLoss': plain, 'mmkd.PKDLoss': PKDLoss, 'mmrazor.PKDLoss': MmrazorsPKDLoss}[kind]
    assert type(algorithm.distiller.distill_losses['loss_fpn']) is expected
    assert torch.isfinite(algorithm(batch(), mode='loss')['distill.loss_fpn'])
