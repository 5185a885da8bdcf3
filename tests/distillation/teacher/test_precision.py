"""The teacher's precision: what chooses it, what of the network it reaches, what the losses say of it."""

import copy

import pytest
import torch
from helpers.distillation_toys import STUDENT, TEACHER, batch, build, mse, toy
from mmcv.cnn.bricks import ConvWS2d
from mmcv.ops import RoIAlign
from torch import nn

import mmkd.distillation.teacher.frozen_teacher as frozen_teacher
from mmkd.distillation.teacher import FrozenTeacher
from mmkd.distillation.teacher.precision import cast_weights, keep_in_float32, native_half

LARGE_LOSS = dict(type='FeatureMSELoss', weight=1000.0)  # so that no difference is negligible
LARGE = mse(connector='conv1x1', loss=LARGE_LOSS)
DRY_RUN = 'mmkd.distillation.taps.half_precision.print_log'


@pytest.fixture
def said(monkeypatch):
    said = []
    monkeypatch.setattr(DRY_RUN, lambda message, **kwargs: said.append(message))
    return said


@pytest.fixture
def device_with_bfloat16(monkeypatch):
    monkeypatch.setattr(frozen_teacher, 'native_half', lambda device: torch.bfloat16)


def weights(model):
    return {name: parameter.dtype for name, parameter in model.named_parameters()}


# ---- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('capabilities', 'dtype'),
    [
        (dict(avx512_bf16=True), torch.bfloat16),
        (dict(amx_bf16=True, avx512_bf16=False), torch.bfloat16),
        (dict(avx512_f=True, avx512_bf16=False), None),
        ({}, None),
    ],
)
def test_a_cpu_is_asked_for_its_instructions(capabilities, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    assert native_half(torch.device('cpu')) is dtype


@pytest.mark.parametrize(('version', 'dtype'), [((7, 5), None), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)])
def test_a_gpu_has_it_from_sm_80(version, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: version)
    assert native_half(torch.device('cuda')) is dtype


def test_it_is_chosen_where_the_device_has_it_and_the_losses_stay(device_with_bfloat16, said):
    algorithm = build(LARGE)
    algorithm.loss(batch())
    assert algorithm.teacher.dtype is torch.bfloat16 and algorithm.teacher.channels_last
    (message,) = said
    assert message.startswith('Teacher in bfloat16; losses differ from those of a float32 teacher by distill.fpn 0.')


def test_one_word_keeps_float32(device_with_bfloat16, said):
    algorithm = build(teacher=dict(TEACHER, dtype='float32'))
    algorithm.prepare()
    assert algorithm.teacher.dtype is None and not algorithm.teacher.channels_last and not said
    assert set(weights(algorithm.teacher.model).values()) == {torch.float32}


def test_a_device_without_keeps_float32(monkeypatch, said):
    monkeypatch.setattr(frozen_teacher, 'native_half', lambda device: None)
    algorithm = build()
    algorithm.prepare()
    assert algorithm.teacher.dtype is None and not said


@pytest.mark.parametrize('options', [dict(dry_run=False), dict(teacher=dict(TEACHER, mode='loss'))])
def test_without_a_comparison_it_stays_in_float32(options, device_with_bfloat16):
    algorithm = build(**options)
    algorithm.prepare()
    assert algorithm.teacher.dtype is None


def test_losses_that_change_too_much_leave_float32(device_with_bfloat16, said):
    algorithm = build(LARGE, teacher=dict(TEACHER, dtype_tolerance=1e-9))
    algorithm.prepare()
    assert algorithm.teacher.dtype is None
    assert 'Teacher in float32, since in bfloat16 distill.fpn differs by' in said[0]


class Float32Only(nn.Conv2d):
    """As an operator without a kernel for half precision."""

    def forward(self, x):
        if torch.is_autocast_enabled('cpu'):
            raise RuntimeError('no kernel for BFloat16')
        return super().forward(x)


def with_float32_only(**options):
    from mmkd.distillation.teacher.network import build_network

    model = build_network(toy(channels=8, out_channels=6))
    model.backbone.residual = Float32Only(8, 8, 1)
    return dict(model=model, allow_random=True, **options)


def test_a_network_that_fails_in_half_precision_stays_in_float32(device_with_bfloat16, said):
    algorithm = build(mse(), teacher=with_float32_only())
    algorithm.prepare()
    assert algorithm.teacher.dtype is None
    assert 'it fails with RuntimeError: no kernel for BFloat16' in said[0]


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dict(TEACHER, dtype='bfloat16', dtype_tolerance=1e-9), "teacher.dtype='bfloat16': distill.fpn differs by"),
        (dict(dtype='bfloat16'), "teacher.dtype='bfloat16': it fails with RuntimeError: no kernel"),
    ],
)
def test_what_is_asked_for_by_name_is_refused_by_name(teacher, message):
    teacher = teacher if 'type' in teacher else with_float32_only(**teacher)
    connector = dict(connector='conv1x1') if 'type' in teacher else {}
    with pytest.raises(ValueError, match=message):
        build(mse(**connector, loss=LARGE_LOSS), teacher=teacher).prepare()


@pytest.mark.parametrize(('name', 'kept'), [('backbone.residual', True), ('Float32Only', True), ('neck', False)])
def test_layers_can_be_kept_in_float32(name, kept, device_with_bfloat16):
    algorithm = build(mse(), teacher=with_float32_only(float32_layers=[name]))
    algorithm.prepare()
    assert (algorithm.teacher.dtype is torch.bfloat16) is kept
    assert weights(algorithm.teacher.model)['backbone.residual.weight'] is torch.float32


def test_layers_that_are_not_there_are_named():
    with pytest.raises(ValueError, match="teacher.float32_layers: 'nek' was expected to name a module"):
        FrozenTeacher.from_config(dict(TEACHER, float32_layers='nek')).build()


@pytest.mark.parametrize('tolerance', [-1, 'much', float('nan')])
def test_a_tolerance_is_a_number(tolerance):
    with pytest.raises(ValueError, match='teacher.dtype_tolerance: a number of at least 0 was expected'):
        FrozenTeacher.from_config(dict(TEACHER, dtype_tolerance=tolerance))


# ---- the network -----------------------------------------------------------------------------------------------------


def test_weights_are_cast_once_and_norms_are_not():
    algorithm = build(teacher=dict(TEACHER, dtype='bfloat16'))
    algorithm.loss(batch())
    for name, dtype in weights(algorithm.teacher.model).items():
        assert dtype is (torch.float32 if '.bn.' in name else torch.bfloat16), name


def test_cast_weights_give_what_autocast_gives():
    layer = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 4, 2)).eval()
    cast = copy.deepcopy(layer)
    cast_weights(cast, torch.bfloat16)
    with torch.autocast('cpu', dtype=torch.bfloat16), torch.no_grad():
        assert torch.equal(cast(batch()), layer(batch()))


def test_what_computes_its_weights_from_others_keeps_them():
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 1))
    older = nn.utils.spectral_norm(nn.Conv2d(3, 4, 1))
    model = nn.Sequential(ConvWS2d(3, 4, 1), normed, older, nn.Sequential(nn.Conv2d(3, 4, 1)))
    keep_in_float32(model, ['3'])
    cast_weights(model, torch.bfloat16)
    assert set(weights(model).values()) == {torch.float32}


def test_compiled_operators_of_mmcv_are_given_float32():
    model = nn.ModuleList([RoIAlign(2)])
    keep_in_float32(model), keep_in_float32(model)
    rois = torch.tensor([[0, 1.5, 2.5, 20.25, 30.75]])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = model[0](batch().bfloat16(), rois)
    assert torch.equal(out, RoIAlign(2)(batch().bfloat16().float(), rois))


def test_inherited_weights_are_those_of_float32():
    algorithm = build(
        mse(connector='conv1x1'), student=STUDENT, teacher=dict(STUDENT, allow_random=True, dtype='bfloat16'),
        inherit='bbox_head',
    )  # fmt: skip
    algorithm.prepare(), algorithm.init_weights()  # as mmkd train does
    algorithm.loss(batch())
    ours = algorithm.student.bbox_head.conv_cls.weight
    theirs = algorithm.teacher.model.bbox_head.conv_cls.weight
    assert theirs.dtype is torch.bfloat16 and torch.equal(ours.bfloat16(), theirs)
    assert not torch.equal(ours, theirs.float())


def test_what_is_random_in_a_loss_is_no_difference(device_with_bfloat16, said):
    mask = dict(type='MaskedGenerationConnector')
    algorithm = build(mse(connector=mask, loss=dict(type='MGDLoss')))
    algorithm.prepare()
    assert algorithm.teacher.dtype is torch.bfloat16


# ---- the work it does not do -----------------------------------------------------------------------------------------


def forwards(algorithm, iteration, monkeypatch):
    """How often parts of the teacher run in an iteration of the run."""
    from mmengine.logging import MessageHub

    algorithm.prepare()
    model, seen = algorithm.teacher.model, []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: seen.append(name)) for name, module in model.named_children()
    ]
    monkeypatch.setattr(MessageHub.get_current_instance(), 'get_info', lambda key, default=None: iteration)
    algorithm.loss(batch(), None)
    for hook in hooks:
        hook.remove()
    return seen


def terms():
    return dict(
        early=dict(taps='backbone', connector='conv1x1', loss=dict(type='FeatureMSELoss'), end_iter=10),
        late=dict(taps='neck', connector='conv1x1', loss=dict(type='FeatureMSELoss'), start_iter=5, end_iter=20),
    )


@pytest.mark.parametrize(
    ('iteration', 'run'), [(0, ['backbone']), (5, ['backbone', 'neck']), (10, ['backbone', 'neck']), (20, [])]
)
def test_the_teacher_computes_what_the_losses_of_an_iteration_read(iteration, run, monkeypatch):
    assert forwards(build(terms()), iteration, monkeypatch) == run


def test_a_stopped_distillation_runs_no_teacher(monkeypatch):
    algorithm = build(terms())
    algorithm.distillation_stopped = True
    assert forwards(algorithm, 7, monkeypatch) == []
