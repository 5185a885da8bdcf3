"""Two optimizers where a config, a training loop and mmengine's runner expect one."""

import copy
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from helpers.adversarial_toys import DISCRIMINATOR_SGD, adversarial, build, images, optimizers, small_discriminator
from helpers.distillation_runs import run_config, scalars, train
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner

from mmkd.apis.training import apply_amp
from mmkd.distillation.discriminators.adversary import JudgedMaps, discriminator_losses
from mmkd.distillation.teacher.network import build_network
from mmkd.engine import DistillOptimWrapper
from mmkd.registry import MODELS

LINEAR = dict(discriminator=dict(type='LinearDiscriminator'))
POLY = dict(type='PolyLR', power=0.9, eta_min=0.0, begin=0, end=6, by_epoch=False)
KD = dict(constructor='mmkd.DistillOptimWrapperConstructor', discriminator=dict(optimizer=DISCRIMINATOR_SGD))
DISCRIMINATOR_LR = DISCRIMINATOR_SGD['lr']


@OPTIM_WRAPPERS.register_module()
class OtherOptimWrapper(OptimWrapper):
    """Stands for AmpOptimWrapper, which cannot be built without an accelerator."""


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """What AmpOptimWrapper does to the forward pass, on any device."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def names_of(algorithm, wrapper):
    trained = {id(p) for group in wrapper.param_groups for p in group['params']}
    return {name for name, p in algorithm.named_parameters() if id(p) in trained}


# ---- which parameters, in which wrapper ------------------------------------------------------------------------------


def test_student_and_connectors_are_in_one_optimizer_and_the_discriminator_in_the_other():
    connected = dict(taps='conv_seg', connector='conv1x1', loss=dict(type='FeatureMSELoss'))
    algorithm = build(distill=dict(feature=connected))
    wrapper = optimizers(algorithm)
    discriminator = {name for name, _ in algorithm.named_parameters() if name.startswith('discriminator.')}
    assert names_of(algorithm, wrapper['discriminator']) == discriminator
    assert names_of(algorithm, wrapper['student']) == {name for name, _ in algorithm.named_parameters()} - discriminator
    assert any(name.startswith('distiller.connectors') for name in names_of(algorithm, wrapper['student']))
    assert 'discriminator' in algorithm._modules  # building did not take it out


def test_paramwise_options_of_the_student_are_its_own():
    algorithm = build()
    wrapper = optimizers(
        algorithm,
        optimizer=dict(type='SGD', lr=0.1, weight_decay=0.01),
        paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'architecture.conv_seg': dict(lr_mult=10.0)}),
    )
    groups = {id(g['params'][0]): g for g in wrapper['student'].param_groups}
    student = algorithm.student
    assert groups[id(student.conv_seg.weight)]['lr'] == 1.0
    assert groups[id(student.backbone[0].weight)]['lr'] == 0.1
    assert groups[id(student.backbone[1].weight)]['weight_decay'] == 0.0
    assert len(wrapper['discriminator'].param_groups) == 1
    assert wrapper.get_lr()['base_lr'] == [0.1]


def test_the_type_of_the_wrapper_is_the_students_alone():
    wrapper = optimizers(build(), type='OtherOptimWrapper')
    assert type(wrapper['student']) is OtherOptimWrapper
    assert type(wrapper['discriminator']) is OptimWrapper


def test_amp_on_the_command_line_is_the_students(monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    cfg = Config(dict(optim_wrapper=dict(KD, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))
    apply_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.discriminator == KD['discriminator']


def test_in_mixed_precision_the_discriminator_is_in_float32_and_makes_the_same_step():
    algorithm = build(dict(discriminator=small_discriminator()))
    wrapper = optimizers(algorithm, type='Bfloat16OptimWrapper')
    maps, seen = [], []
    algorithm.student.conv_seg.register_forward_hook(lambda module, args, out: maps.append(out.detach().clone()))
    algorithm.teacher.model.conv_seg.register_forward_hook(lambda module, args, out: maps.append(out.detach().clone()))
    for name, module in algorithm.discriminator.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, args, out, name=name: seen.append((name, out.dtype)))
    discriminator = copy.deepcopy(algorithm.discriminator)
    algorithm.train_step(images(), wrapper)

    teacher, student = maps
    assert (teacher.dtype, student.dtype) == (torch.float32, torch.bfloat16)  # the teacher's precision is its own
    assert seen and {dtype for _, dtype in seen} == {torch.float32}
    assert {p.dtype for p in algorithm.parameters()} == {torch.float32}

    # the reference makes its step without autocast, from the same maps
    reference = build(dict(discriminator=discriminator))
    reference_wrapper = optimizers(reference)['discriminator']
    reference.adversary.iteration = 1
    reference.adversary.judged = [JudgedMaps(student.float(), teacher)]
    reference.adversary.step(reference_wrapper)
    for name, value in algorithm.discriminator.named_parameters():
        torch.testing.assert_close(value, reference.discriminator.get_parameter(name), msg=name)


def test_gradients_are_clipped_apart(monkeypatch):
    algorithm = build(LINEAR)
    wrapper = optimizers(algorithm, of_discriminator=dict(clip_grad=dict(max_norm=1e-6)), clip_grad=dict(max_norm=1e-9))
    before = {name: p.detach().clone() for name, p in algorithm.named_parameters()}
    algorithm.train_step(images(), wrapper)
    moved = {name: (p - before[name]).norm().item() for name, p in algorithm.named_parameters()}
    assert sum(v for name, v in moved.items() if name.startswith('architecture')) < 1e-8
    weight = 'discriminator.linear.weight'
    assert moved[weight] == pytest.approx(0.05 * (1e-6 + 5e-4 * before[weight].norm().item()), rel=0.02)
    assert wrapper['discriminator'].grad_name == 'discriminator.grad_norm'
    assert wrapper['student'].grad_name == 'grad_norm'


def test_another_constructor_may_build_the_students_optimizer():
    from mmengine.optim import DefaultOptimWrapperConstructor
    from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

    built = []

    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class OtherConstructor(DefaultOptimWrapperConstructor):
        def __call__(self, model):
            built.append(model)
            return super().__call__(model)

    optimizers(build(), student_constructor='OtherConstructor')
    assert len(built) == 1


@pytest.mark.parametrize(
    ('discriminator', 'message'),
    [
        (None, 'optim_wrapper.discriminator: dict.optimizer=dict.* was expected, got None'),
        (dict(type='SGD', lr=1.0), 'optim_wrapper.discriminator: dict.optimizer=dict.* was expected'),
        (
            dict(KD['discriminator'], type='AmpOptimWrapper'),
            'discriminator.type: the discriminator is trained in float32',
        ),
        (
            dict(KD['discriminator'], accumulative_counts=2),
            'discriminator.accumulative_counts: the discriminator accumulates',
        ),
    ],
)
def test_mistakes_in_the_added_key_are_named(discriminator, message):
    with pytest.raises(ValueError, match=message):
        optimizers(build(), discriminator=discriminator)


def test_a_model_without_a_discriminator_is_refused():
    with pytest.raises(TypeError, match='is for AdversarialDistill, the model is a Linear'):
        optimizers(torch.nn.Linear(1, 1))


# ---- gradient accumulation -------------------------------------------------------------------------------------------


def test_accumulated_gradients_are_the_mean_over_the_iterations_for_both():
    algorithm = build(dict(LINEAR, mode='hinge', gradient_penalty=5))
    wrapper = optimizers(algorithm, of_discriminator=dict(optimizer=dict(type='SGD', lr=1.0)), accumulative_counts=2)
    wrapper.initialize_count_status(algorithm, 0, 5)
    discriminator, weight = algorithm.discriminator, algorithm.discriminator.linear.weight
    conv = algorithm.student.conv_seg.weight

    def micro_step(seed):
        """One iteration; returns what its part of both gradients would be alone, at the present weights."""
        losses = algorithm(**algorithm.data_preprocessor(images(seed=seed), True), mode='loss')
        loss, log = algorithm.parse_losses(losses)
        (student,) = torch.autograd.grad(loss, conv, retain_graph=True)
        terms = discriminator_losses(discriminator, algorithm.adversary.judged[-1], 'hinge', 5)
        (fooled,) = torch.autograd.grad(0.1 * (terms['loss_adversarial'] + terms['loss_gp']), weight)
        wrapper.update_params(loss)
        return student, fooled, log

    def moved(steps):
        before = conv.detach().clone(), weight.detach().clone()
        parts = [micro_step(seed) for seed in range(steps)]
        logged = [any(name.startswith('discriminator') for name in log) for _, _, log in parts]
        assert logged == [False] * (steps - 1) + [True]
        expected = [sum(part[i] for part in parts) / steps for i in (0, 1)]
        torch.testing.assert_close(before[0] - conv, 0.1 * expected[0])
        torch.testing.assert_close(before[1] - weight, expected[1])

    moved(2)
    moved(2)
    moved(1)  # the last of five iterations makes a step by itself, with its whole gradient


def test_nothing_moves_while_gradients_are_accumulated():
    algorithm = build()
    wrapper = optimizers(algorithm, accumulative_counts=3)
    before = {name: p.detach().clone() for name, p in algorithm.named_parameters()}
    for _ in range(2):
        assert not wrapper.should_sync()
        algorithm.train_step(images(), wrapper)
        assert all(torch.equal(p, before[name]) for name, p in algorithm.named_parameters())
    assert wrapper.should_sync()
    algorithm.train_step(images(), wrapper)
    assert not any(torch.equal(p, before[n]) for n, p in algorithm.named_parameters() if n.endswith('last.weight'))


# ---- in a run --------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Gives configs of runs, in a folder with a teacher's checkpoint."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(7)
    teacher = dict(type='mmkd.ToySegmentor', channels=8)
    torch.save(dict(state_dict=MODELS.build(teacher).state_dict()), 'teacher.pth')

    def make(work_dir='run', holistic=None, **options):
        model = adversarial(
            dict(dict(discriminator=small_discriminator(base_channels=4)), **(holistic or {})),
            teacher=dict(teacher, ckpt='teacher.pth'),
        )
        cfg = run_config(work_dir, {}, model=dict(_delete_=True, **model), optim_wrapper=KD)
        cfg.merge_from_dict(options)
        return cfg

    return make


def test_a_run_of_the_algorithm_has_the_constructor_without_being_told(config):
    cfg = config()
    del cfg.optim_wrapper['constructor']
    runner = Runner.from_cfg(cfg)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert isinstance(wrapper, DistillOptimWrapper)
    students = {name for name, _ in runner.model.named_parameters() if name.startswith('architecture.')}
    assert names_of(runner.model, wrapper['student']) == students

    del cfg.optim_wrapper['discriminator']
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match='optim_wrapper.discriminator: .* was expected, got None'):
        runner.build_optim_wrapper(runner.optim_wrapper)


def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(config):
    whole = train(config('whole', param_scheduler=[POLY]))
    train(config('part', param_scheduler=[POLY], train_cfg=dict(max_epochs=1)))
    resumed = train(config('part', param_scheduler=[POLY], resume=True))
    assert scalars(resumed, 'train/discriminator.gap')[3:] == scalars(whole, 'train/discriminator.gap')[3:]
    for kind in (lambda r: r.model.state_dict(), lambda r: flat(r.optim_wrapper.state_dict())):
        one, other = kind(whole), kind(resumed)
        assert one.keys() == other.keys()
        different = [name for name in one if not equal(one[name], other[name])]
        assert different == []
    state = flat(whole.optim_wrapper.state_dict())
    assert {name.split('.')[0] for name in state if name.endswith('momentum_buffer')} == {'student', 'discriminator'}
    assert any(name.endswith('0._u') for name in whole.model.state_dict())


def flat(state, prefix=''):
    if not isinstance(state, dict):
        return {prefix: state}
    return {n: v for key, value in state.items() for n, v in flat(value, f'{prefix}.{key}'.lstrip('.')).items()}


def equal(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_a_list_of_schedulers_applies_to_both_and_both_rates_are_logged(config):
    runner = train(config(param_scheduler=[POLY]))
    decay = [(1 - i / 5) ** 0.9 for i in range(6)]
    assert scalars(runner, 'train/lr') == pytest.approx([0.05 * d for d in decay])
    assert scalars(runner, 'train/discriminator.lr') == pytest.approx([DISCRIMINATOR_LR * d for d in decay])


def test_the_discriminator_may_have_a_schedule_of_its_own(config):
    step = dict(type='MultiStepLR', milestones=[2], gamma=0.1, by_epoch=False)
    runner = train(config(param_scheduler=dict(student=[POLY], discriminator=[step])))
    assert scalars(runner, 'train/lr')[2] == pytest.approx(0.05 * (3 / 5) ** 0.9)
    assert scalars(runner, 'train/discriminator.lr') == pytest.approx([0.05] * 2 + [0.005] * 4)


def test_auto_scale_lr_scales_both(config):
    runner = train(config(auto_scale_lr=dict(enable=True, base_batch_size=4), train_cfg=dict(max_epochs=1)))
    assert isinstance(runner.optim_wrapper, DistillOptimWrapper)
    assert runner.optim_wrapper.get_lr() == {'lr': [0.025], 'discriminator.lr': [0.025]}
    assert runner.optim_wrapper.get_momentum() == {'momentum': [0.9], 'discriminator.momentum': [0.9]}


def test_a_resumed_run_knows_whether_the_game_has_begun(config):
    train(config(holistic=dict(start_iter=4), train_cfg=dict(max_epochs=1)))
    resumed = train(config(holistic=dict(start_iter=4), resume=True))
    assert [value != 0 for value in scalars(resumed, 'train/distill.loss_holistic')] == [False] * 4 + [True] * 2


def test_the_students_file_knows_nothing_of_the_discriminator(config):
    schedulers = dict(student=[POLY], discriminator=[])
    options = dict(param_scheduler=schedulers, custom_hooks=[dict(type='mmkd.FiniteLossHook')])
    runner = train(config(train_cfg=dict(max_epochs=1), **options))
    assert Path('run/epoch_1.pth').is_file()
    file = torch.load('run/epoch_1_student.pth', weights_only=True)
    plain = Config.fromstring(file['meta']['cfg'], '.py')
    student = build_network(plain.model)
    student.load_state_dict(file['state_dict'], strict=True)
    assert torch.equal(student.conv_seg.weight, runner.model.student.conv_seg.weight)
    text = plain.pretty_text
    assert [word for word in ('iscriminator', 'Adversarial', 'DistillOptim', 'FiniteLoss') if word in text] == []
    assert plain.optim_wrapper == dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
    assert plain.param_scheduler == [POLY]


def test_ema_runs_beside_it(config):
    runner = train(config(custom_hooks=[dict(type='EMAHook', momentum=0.5)], train_cfg=dict(max_epochs=1)))
    assert runner.iter == 3


def test_a_run_without_a_discriminator_cannot_be_resumed_with_one(config):
    cfg = config(train_cfg=dict(max_epochs=1))
    cfg.model.type = 'mmkd.DenseDistill'
    del cfg.model['holistic']
    cfg.optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05))
    train(cfg)
    with pytest.raises(ValueError, match='resume: the checkpoint is one of a run without a discriminator'):
        train(config(resume=True))
    assert train(config('new', load_from='run/epoch_1.pth')).iter == 6
