"""The optimizer of a student that is taught: as without a teacher, and the connectors apart."""

import pytest
import torch
from helpers.distillation_runs import run_config, train
from helpers.distillation_toys import ToyDetector, toy
from mmengine.config import Config, ConfigDict
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmkd.apis.config import resolve_config
from mmkd.distillation.algorithms import DenseDistill
from mmkd.distillation.teacher.network import build_network
from mmkd.engine import DistillOptimWrapperConstructor
from mmkd.engine.optimizers import with_distill_constructor
from mmkd.utils.model_config import resolve_network

ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
CONNECTOR = dict(type='ConvConnector', in_channels=4, out_channels=8, norm_cfg=dict(type='BN'))


class ToyConvNeXt(nn.Module):
    """The names that the constructors for ConvNeXt read."""

    def __init__(self):
        super().__init__()
        self.downsample_layers = nn.ModuleList(nn.Conv2d(1, 1, 1) for _ in range(4))
        self.stages = nn.ModuleList(
            nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 1), nn.LayerNorm(1)) for _ in range(n))) for n in (3, 3, 9, 3)
        )


class ToyBEiT(nn.Module):
    """The names that the constructors for BEiT and MAE read."""

    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.patch_embed = nn.Conv2d(3, 4, 2)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4)) for _ in range(12))


def student_with(backbone):
    student = ToyDetector()
    student.backbone = backbone
    return student


def students_and_optimizers():
    """Upstream's optimizers, each with its network, or with one in outline where that has none on this machine."""
    for path in (
        'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',  # lr and decay of biases
        'autoassign/autoassign_r50-caffe_fpn_1x_coco.py',  # decay of norms
        'deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',  # custom_keys
        'yolox/yolox_tiny_8xb8-300e_coco.py',  # decay of norms and biases
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',  # bypass_duplicate
        'centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py',  # no options, deformable convolutions
        'retinanet/retinanet_r18_fpn_1x_coco.py',  # no options
    ):
        yield pytest.param('mmdet', path, None, id=f'mmdet {path}', marks=pytest.mark.slow)
    for path in (
        'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',  # custom_keys by substrings
        'dnlnet/dnl_r50-d8_4xb2-80k_cityscapes-769x769.py',  # custom_keys of a few weights
        'fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',  # no options
    ):
        yield pytest.param('mmseg', path, None, id=f'mmseg {path}', marks=pytest.mark.slow)
    for scope, path, backbone in (
        ('mmdet', 'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py', ToyConvNeXt),
        ('mmdet', 'rtmdet/rtmdet_l_convnext_b_4xb32-100e_coco.py', ToyConvNeXt),
        ('mmdet', 'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py', ToyBEiT),
        ('mmseg', 'convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py', ToyConvNeXt),
        ('mmseg', 'beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py', ToyBEiT),
        ('mmseg', 'vpd/vpd_sd_4xb8-25k_nyu-512x512.py', ToyBEiT),
    ):
        yield pytest.param(scope, path, backbone, id=f'{scope} {path}')


def distilled(student, connector=CONNECTOR):
    """An algorithm; its only connector has a name that the student's custom_keys have, too."""
    entry = dict(taps='backbone', levels=0, connector=connector, loss=dict(type='FeatureMSELoss'))
    return DenseDistill(student=student, teacher=dict(model=ToyDetector()), distill=dict(backbone=entry))


def build(algorithm, **optim_wrapper):
    """As the runner of an algorithm builds it."""
    return build_optim_wrapper(algorithm, with_distill_constructor(ConfigDict(optim_wrapper)))


def groups_of(wrapper, model):
    """Each parameter group: the names of its parameters, and all options."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        ([names[id(parameter)] for parameter in group['params']], {k: v for k, v in group.items() if k != 'params'})
        for group in wrapper.optimizer.param_groups
    ]


def rates_of(wrapper, model):
    return {name: group['lr'] for names, group in groups_of(wrapper, model) for name in names}


# ---- the student's groups --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(('scope', 'path', 'backbone'), [*students_and_optimizers()])
def test_groups_are_those_of_the_plain_config_name_by_name(scope, path, backbone):
    cfg = Config.fromfile(resolve_config(f'{scope}::{path}'), import_custom_modules=False)  # not of mmpretrain
    optim_wrapper = cfg.optim_wrapper
    optim_wrapper.type = 'OptimWrapper'  # the one for mixed precision is not built on a CPU
    optim_wrapper.pop('loss_scale', None)
    if backbone is None:
        student = build_network(resolve_network(dict(cfg_path=f'{scope}::{path}'), 'student'))
    else:
        student = student_with(backbone())
    with DefaultScope.overwrite_default_scope(scope):
        plain = build_optim_wrapper(student, optim_wrapper)
        algorithm = distilled(student)
        taught = build(algorithm, **optim_wrapper)
    expected, groups = groups_of(plain, student), groups_of(taught, algorithm)
    assert type(taught) is type(plain)
    assert len(expected) >= 1 and sum(len(names) for names, _ in expected) > 10
    students = [([name.removeprefix('architecture.') for name in names], group) for names, group in groups]
    assert students[: len(expected)] == expected
    beside = groups[len(expected) :]
    names = [name for names, _ in beside for name in names]
    assert names == [name for name, _ in algorithm.named_parameters() if not name.startswith('architecture.')]
    assert {group['lr'] for _, group in beside} == {optim_wrapper.optimizer.lr}


@pytest.mark.parametrize(
    ('paramwise_cfg', 'meant'),
    [
        (dict(custom_keys={'architecture.bbox_head': dict(lr_mult=10.0)}), dict(bbox_head=dict(lr_mult=10.0))),
        (dict(custom_keys={'architecture': dict(lr_mult=10.0)}), {'': dict(lr_mult=10.0)}),
    ],
)
def test_names_with_mmrazors_prefix_mean_the_same(paramwise_cfg, meant):
    algorithm = distilled(ToyDetector())
    prefixed = build(algorithm, optimizer=ADAMW, paramwise_cfg=paramwise_cfg)
    plain = build_optim_wrapper(algorithm.student, dict(optimizer=ADAMW, paramwise_cfg=dict(custom_keys=meant)))
    count = len(plain.optimizer.param_groups)
    assert [g for _, g in groups_of(prefixed, algorithm)[:count]] == [g for _, g in groups_of(plain, algorithm.student)]
    assert 0.01 in rates_of(prefixed, algorithm).values()


def test_a_key_with_and_without_the_prefix_is_refused():
    keys = {'architecture.neck': dict(lr_mult=2.0), 'neck': dict(lr_mult=3.0)}
    with pytest.raises(ValueError, match=r"paramwise_cfg.custom_keys: 'neck' is given twice"):
        build(distilled(ToyDetector()), optimizer=ADAMW, paramwise_cfg=dict(custom_keys=keys))


# ---- the groups beside it --------------------------------------------------------------------------------------------


def test_connectors_are_a_group_at_the_base_rate():
    algorithm = distilled(ToyDetector())
    student, connectors = groups_of(build(algorithm, optimizer=ADAMW), algorithm)
    assert all(name.startswith('architecture.') for name in student[0])
    assert connectors[0] and all(name.startswith('distiller.connectors.') for name in connectors[0])
    assert (connectors[1]['lr'], connectors[1]['weight_decay']) == (1e-3, 0.05)


def test_without_connectors_there_is_the_students_group_alone():
    algorithm = distilled(ToyDetector(), connector=None)
    (group,) = groups_of(build(algorithm, optimizer=ADAMW), algorithm)
    assert group[0] == [f'architecture.{name}' for name, _ in algorithm.student.named_parameters()]


def test_keys_of_the_student_are_not_for_the_connectors_and_the_other_way_round():
    student = ToyDetector()
    student.connectors = nn.Linear(1, 1)
    algorithm = distilled(student)
    keys = {'backbone': dict(lr_mult=0.1), 'connectors': dict(lr_mult=10.0)}
    rates = rates_of(build(algorithm, optimizer=ADAMW, paramwise_cfg=dict(custom_keys=keys)), algorithm)
    for name, rate in rates.items():
        expected = {'architecture.backbone': 1e-4, 'distiller.connectors': 1e-2}.get(
            '.'.join(name.split('.')[:2]), 1e-3
        )
        assert rate == pytest.approx(expected), name


def test_options_by_kind_of_layer_are_for_the_connectors_too():
    algorithm = distilled(ToyDetector())
    wrapper = build(algorithm, optimizer=ADAMW, paramwise_cfg=dict(norm_decay_mult=0.0))
    decay = {name: g['weight_decay'] for names, g in groups_of(wrapper, algorithm) for name in names}
    beside = {name: value for name, value in decay.items() if name.startswith('distiller.')}
    assert {name.rsplit('.', 2)[1]: value for name, value in beside.items()} == dict(conv=0.05, norm=0.0)


def test_a_parameter_that_a_loss_shares_with_the_student_is_the_students():
    algorithm = distilled(ToyDetector())
    algorithm.distiller.head_of_the_student = algorithm.student.bbox_head
    for paramwise_cfg in (None, dict(norm_decay_mult=0.0)):
        wrapper = build(algorithm, optimizer=ADAMW, paramwise_cfg=paramwise_cfg)
        names = [name for names, _ in groups_of(wrapper, algorithm) for name in names]
        assert sorted(names) == sorted(name for name, _ in algorithm.named_parameters())


# ---- which constructor -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('constructor', ['mmkd.DistillOptimWrapperConstructor', DistillOptimWrapperConstructor])
def test_the_constructor_may_be_written_out(constructor):
    config = dict(optimizer=ADAMW, constructor=constructor)
    assert with_distill_constructor(config) is config


def test_a_constructor_for_the_whole_algorithm_is_a_subclass():
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class OneGroup(DistillOptimWrapperConstructor):
        def __call__(self, model):
            return DefaultOptimWrapperConstructor(self.student)(model)

    algorithm = distilled(ToyDetector())
    assert len(build(algorithm, optimizer=ADAMW, constructor='OneGroup').optimizer.param_groups) == 1


def test_what_is_built_and_what_names_its_parts_is_left_alone():
    built = OptimWrapper(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0))
    parts = dict(constructor='mmrazor.SeparateOptimWrapperConstructor', architecture=dict(optimizer=ADAMW))
    for given in (None, built, dict(optimizer=built.optimizer), parts):
        assert with_distill_constructor(given) is given


def test_the_config_that_is_given_stays_as_it_is():
    config = ConfigDict(optimizer=ADAMW, paramwise_cfg=dict(custom_keys=dict(connectors=dict(lr_mult=2.0))))
    before = config.to_dict()
    build(distilled(ToyDetector()), **config)
    with_distill_constructor(config)
    assert config.to_dict() == before


def test_a_students_constructor_that_makes_several_optimizers_is_refused_where_there_are_connectors():
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class Several(DefaultOptimWrapperConstructor):
        def __call__(self, model):
            return OptimWrapperDict(a=super().__call__(model.backbone), b=super().__call__(model.neck))

    with pytest.raises(ValueError, match="optim_wrapper.constructor: 'Several' makes several optimizers"):
        build(distilled(ToyDetector()), optimizer=ADAMW, constructor='Several')
    wrapper = build(distilled(ToyDetector(), connector=None), optimizer=ADAMW, constructor='Several')
    assert set(wrapper.keys()) == {'a', 'b'}


@pytest.mark.parametrize(
    ('model', 'options', 'message'),
    [
        (nn.Linear(1, 1), {}, 'is for DenseDistill, the model is a Linear'),
        (None, dict(discriminator=dict(optimizer=ADAMW)), 'is for AdversarialDistill, the model is a DenseDistill'),
    ],
)
def test_another_model_is_refused(model, options, message):
    with pytest.raises(TypeError, match=message):
        build(model or distilled(ToyDetector()), optimizer=ADAMW, **options)


# ---- in a run, as mmdet's and mmseg's own tools build it -------------------------------------------------------------


def test_a_run_of_the_hosts_tools_has_it(teacher):
    keys = dict(custom_keys={'backbone': dict(lr_mult=0.1), 'connectors': dict(lr_mult=2.0)})
    config = run_config('run', teacher, epochs=1, optim_wrapper=dict(paramwise_cfg=keys))
    runner = Runner.from_cfg(config)
    assert 'constructor' not in runner.cfg.optim_wrapper
    runner.train()
    rates = {name: rate / 0.05 for name, rate in rates_of(runner.optim_wrapper, runner.model).items()}
    parts = {'.'.join(name.split('.')[:2]): pytest.approx(rate) for name, rate in rates.items()}
    assert parts == {
        'architecture.backbone': 0.1,
        'architecture.neck': 1.0,
        'architecture.bbox_head': 1.0,
        'architecture.auxiliary_head': 1.0,
        'distiller.connectors': 2.0,
    }


def test_a_run_that_is_resumed_is_the_unbroken_one(teacher):
    def config(work_dir, **options):
        return run_config(work_dir, teacher, model=dict(student=toy(dropout=0.0)), **options)

    whole = train(config('whole'))
    train(config('part', epochs=1))
    resumed = train(config('part', resume=True))
    assert len(resumed.optim_wrapper.param_groups) == 2
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_the_learning_rate_is_scaled_in_every_group(teacher):
    runner = Runner.from_cfg(run_config('run', teacher))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, dict(base_batch_size=4, enable=True))
    assert {group['lr'] for group in wrapper.param_groups} == {0.025}
    assert wrapper.get_lr()['lr'] == [0.025] * 2
