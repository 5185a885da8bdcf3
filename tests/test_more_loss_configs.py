"""The configs of the losses beyond structured distillation: what they say, and through the runner at a reduced size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.config_runs import equal, go_on, reduce_networks
from helpers.configs import ROOT, shipped_configs
from mmengine.config import Config
from mmengine.runner import Runner
from test_centermask_kd_configs import reduced as reduced_centermask
from test_centermask_kd_configs import roots as coco_roots  # noqa: F401
from test_segmentation_configs import roots as camvid_roots  # noqa: F401
from test_structured_kd_configs import reduced as reduced_pspnet

import mmkd  # noqa: F401  first: makes ``mmkd::`` configs resolve
from mmkd.utils.checkpoint import load_checkpoint_file

KD = 'configs/kd/features'
PSPNET = {f'{KD}/pspnet-r101_pspnet-r18_40k_camvid_{row}.py': loss for row, loss in [
    ('cwd', 'cwd'), ('dist', 'dist'), ('logit-std', 'pi'), ('mgd', 'mgd')]}  # fmt: skip
CENTERMASK = {f'{KD}/centermask-v39_centermask-lite-v19_4x_coco_{row}.py': row for row in ('fgd', 'mgd', 'pkd')}
GFL = f'{KD}/gfl-r50_gfl-r18_1x_coco_ld.py'
NAMES = [*PSPNET, *CENTERMASK, GFL]
TRAINED = dict(mgd=True, fgd=True, pkd=True)  # with parameters beside the student's


def runs_and_resumes(build, length, steps=(1, 2)):
    """Trains, and goes on from the checkpoint in exactly the state it was in; returns the first runner."""
    runner = Runner.from_cfg(build())
    runner.train()
    go_on(runner, build(), length, steps[1])
    return runner


def check_run(runner, term, work_dir):
    logged = {k.removeprefix('train/'): v for k, v in runner.message_hub.log_scalars.items() if k.startswith('train/')}
    assert [key for key in logged if key.startswith('distill.')] == [f'distill.loss_{t}' for t in term]
    assert all(
        np.isfinite(logged[f'distill.loss_{t}'].current()) and logged[f'distill.loss_{t}'].current() > 0 for t in term
    )
    own = {name for name, _ in runner.model.named_parameters() if name.startswith('distiller.')}
    optimized = {id(p) for group in runner.optim_wrapper.param_groups for p in group['params']}
    assert bool(own) == any(t in TRAINED for t in term)
    assert all(id(p) in optimized for name, p in runner.model.named_parameters() if name in own)
    students = sorted(Path(work_dir).glob('*_student.pth'))
    keys = load_checkpoint_file(students[-1])['state_dict']
    assert keys.keys() == runner.model.student.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize('name', PSPNET)
def test_pspnet_config_trains_evaluates_and_resumes(name, camvid_roots):  # noqa: F811
    run = camvid_roots / 'run'
    runner = runs_and_resumes(lambda: reduced_pspnet(name, run), 'max_iters', (2, 3))
    check_run(runner, [PSPNET[name]], run)
    assert 0 <= runner.message_hub.log_scalars['val/mIoU'].current() <= 100


@pytest.mark.slow
@pytest.mark.parametrize('name', CENTERMASK)
def test_centermask_config_trains_evaluates_and_resumes(name, coco_roots):  # noqa: F811
    run = coco_roots / 'run'

    def build():
        cfg = reduced_centermask(name, run)
        if 'fgd' in cfg.model.distill:
            cfg.model.distill.fgd.loss.channels = 64  # the reduced teacher's
        # the batch norms of random weights normalise nothing: features and gradients are large
        cfg.optim_wrapper.clip_grad = dict(max_norm=1.0)
        return cfg

    runner = runs_and_resumes(build, 'max_iters', (2, 3))
    check_run(runner, [CENTERMASK[name]], run)
    # something is found: boxes of two strides with even chances
    for conv in (runner.model.student.bbox_head.conv_cls, runner.model.student.bbox_head.conv_reg):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.ones_(conv.bias)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= runner.test().keys()


def shrink_gfl(network):
    expansion = 4 if network.backbone.depth > 34 else 1
    network.backbone.update(base_channels=4, init_cfg=None)
    network.neck.update(in_channels=[expansion * 4 * 2**i for i in range(4)], out_channels=16)
    norm_cfg = dict(type='GN', num_groups=4, requires_grad=True)  # P7 is a single pixel
    network.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, norm_cfg=norm_cfg)
    network.test_cfg.update(score_thr=0.0, max_per_img=3)


def reduced_gfl(root, work_dir):
    cfg = Config.fromfile(ROOT / GFL)
    cfg.work_dir = str(work_dir)
    for key in ('train', 'val', 'test'):
        loader = cfg[f'{key}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = f'{root}/coco/'
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (96, 64)
    cfg.val_evaluator.ann_file = f'{root}/coco/annotations/instances_val2017.json'
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = dict(seed=0)
    cfg.log_level = 'WARNING'
    reduce_networks(cfg, (64, 96), shrink_gfl)
    return cfg


@pytest.mark.slow
def test_gfl_config_trains_evaluates_and_resumes(coco_roots):  # noqa: F811
    run = coco_roots / 'run'
    runner = runs_and_resumes(lambda: reduced_gfl(coco_roots, run), 'max_epochs', (1, 2))
    check_run(runner, ['ld', 'cls'], run)
    assert 'val/coco/bbox_mAP' in runner.message_hub.log_scalars


@pytest.mark.slow
def test_the_teacher_of_ld_computes_no_losses_and_the_student_inherits_its_head(coco_roots, monkeypatch):  # noqa: F811
    runner = Runner.from_cfg(reduced_gfl(coco_roots, coco_roots / 'run'))
    model = runner.model
    model.init_weights()
    student, teacher = model.student, model.teacher.model
    for part in ('bbox_head', 'neck.fpn_convs'):
        own, given = (net.get_submodule(part).state_dict() for net in (student, teacher))
        assert equal(dict(own), dict(given))
    data = model.data_preprocessor(next(iter(runner.build_dataloader(runner._train_dataloader))), True)
    model.train()
    model(**data, mode='loss')  # how often the head is called is known from the first step on
    monkeypatch.setattr(teacher.bbox_head, 'loss_by_feat', lambda *args, **kwargs: pytest.fail('it went on'))
    losses = model(**data, mode='loss')
    assert losses['distill.loss_ld'] > 0 and losses['distill.loss_cls'] > 0


@pytest.mark.slow
def test_mmrazors_losses_and_mmkds_go_together(camvid_roots):  # noqa: F811
    """In one config: mmrazor's by their scope, connectors and losses, beside mmkd's in the short form."""
    cfg = reduced_pspnet(f'{KD}/pspnet-r101_pspnet-r18_40k_camvid_mgd.py', camvid_roots / 'run')
    cfg.train_cfg.val_interval = 5
    features = dict(taps='decode_head.bottleneck')
    cfg.model.distill.update(
        theirs_mgd=dict(
            features, connector=dict(type='mmrazor.MGDConnector'), loss=dict(type='mmrazor.MGDLoss', alpha_mgd=2e-5)
        ),
        theirs_cwd=dict(taps='decode_head.conv_seg', loss=dict(type='mmrazor.ChannelWiseDivergence', loss_weight=3.0)),
        ours_cwd=dict(taps='decode_head.conv_seg', loss=dict(type='ChannelWiseDivergence', weight=3.0)),
        theirs_pkd=dict(features, connector='conv1x1', loss=dict(type='mmrazor.PKDLoss', loss_weight=6.0)),
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    logged = runner.message_hub.log_scalars
    theirs, ours = (logged[f'train/distill.loss_{who}_cwd'].data[0] for who in ('theirs', 'ours'))
    np.testing.assert_allclose(theirs, ours, rtol=1e-4)
    assert {f'train/distill.loss_{name}' for name in ('mgd', 'theirs_mgd', 'theirs_pkd')} <= set(logged)
    kinds = {type(loss).__module__.split('.')[0] for loss in runner.model.distiller.distill_losses.values()}
    assert kinds == {'mmkd', 'mmrazor'}
    assert 'distiller.connectors.theirs_mgd.levels.0.generation.0.weight' in dict(runner.model.named_parameters())


@pytest.mark.parametrize('name', NAMES)
def test_everything_but_the_model_is_the_students_own(name):
    cfg = Config.fromfile(ROOT / name)
    plain = dict(
        pspnet='pspnet/pspnet_r18_40k_camvid-480x360.py',
        centermask='centermask/centermask-lite_v19_fpn_ms-4x_coco.py',
        gfl='gfl/gfl_r18_fpn_1x_coco.py',
    )[Path(name).name.split('-')[0]]
    plain = Config.fromfile(ROOT / 'configs' / plain)
    assert cfg.model.student.to_dict() == plain.model.to_dict()
    for key in ('train_dataloader', 'val_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'val_evaluator'):
        assert cfg[key] == plain[key], key


def test_every_config_is_run():
    assert sorted(NAMES) == shipped_configs(KD)
