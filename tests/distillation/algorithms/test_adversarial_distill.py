"""The two steps of holistic distillation: what each computes, and what it leaves alone."""

import copy

import pytest
import torch
from helpers.adversarial_toys import DISCRIMINATOR_SGD, build, images, optimizers, small_discriminator, state
from mmengine.model import ExponentialMovingAverage
from torch import nn

from mmkd.distillation.algorithms import AdversarialDistill
from mmkd.distillation.discriminators.adversary import per_sample
from mmkd.distillation.losses import adversarial_discriminator_loss, gradient_penalty
from mmkd.distillation.teacher.isolation import iteration_seed

LINEAR = dict(discriminator=dict(type='LinearDiscriminator'))


def maps(algorithm, data):
    """The score maps of student and teacher, from networks in the mode they train in."""
    inputs = algorithm.data_preprocessor(copy.deepcopy(data), True)['inputs']
    student, teacher = copy.deepcopy(algorithm.student), copy.deepcopy(algorithm.teacher.model)
    return student(inputs), teacher(inputs)


def losses_of(algorithm, data):
    return algorithm(**algorithm.data_preprocessor(copy.deepcopy(data), True), mode='loss')


# ---- the student's step ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('mode', ['wgan-gp', 'hinge'])
def test_the_students_term_is_minus_the_mean_score_times_the_weight(mode):
    algorithm = build(dict(mode=mode, loss_weight=0.3))
    discriminator = copy.deepcopy(algorithm.discriminator)
    with per_sample(discriminator):
        expected = -0.3 * discriminator(maps(algorithm, images())[0]).mean()
    losses = losses_of(algorithm, images())
    torch.testing.assert_close(losses['distill.loss_holistic'], expected)
    assert {'student.loss_ce', 'distill.loss_pi'} < set(losses)


def test_the_students_step_leaves_the_discriminator_alone():
    algorithm = build()
    before = state(algorithm.discriminator)
    sum(losses_of(algorithm, images()).values()).backward()
    assert all(torch.equal(before[name], value) for name, value in algorithm.discriminator.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in algorithm.discriminator.parameters())
    assert algorithm.discriminator.training


def test_the_term_reaches_the_student_and_not_the_teacher():
    algorithm = build()
    losses_of(algorithm, images())['distill.loss_holistic'].backward()
    assert algorithm.student.conv_seg.weight.grad.abs().max() > 0
    assert all(p.grad is None for p in algorithm.teacher.model.parameters())


def test_the_holistic_term_may_be_the_only_distillation_loss():
    algorithm = build(distill=None)
    assert set(losses_of(algorithm, images())) == {'student.loss_ce', 'distill.loss_holistic'}


def test_mmrazors_vocabulary_takes_the_holistic_term_too():
    record = dict(recorder='out', from_student=True), dict(recorder='out', from_student=False)
    distiller = dict(
        type='ConfigurableDistiller',
        student_recorders=dict(out=dict(type='ModuleOutputs', source='conv_seg')),
        teacher_recorders=dict(out=dict(type='ModuleOutputs', source='conv_seg')),
        distill_losses=dict(loss_l2=dict(type='L2Loss')),
        loss_forward_mappings=dict(loss_l2=dict(s_feature=record[0], t_feature=record[1])),
    )
    losses = losses_of(build(distill=None, distiller=distiller), images())
    assert {'distill.loss_l2', 'distill.loss_holistic'} < set(losses)


def test_under_autocast_the_discriminator_stays_in_float32():
    algorithm = build(dict(discriminator=small_discriminator(preprocess=None)))
    wrapper = optimizers(algorithm)
    seen = []
    algorithm.discriminator.register_forward_pre_hook(
        lambda module, args: seen.append((args[0].dtype, torch.is_autocast_enabled('cpu')))
    )
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = losses_of(algorithm, images())
        assert len(algorithm.adversary.judged) == 1
        wrapper.update_params(algorithm.parse_losses(losses)[0])
    assert len(seen) == 3  # the student's term, real and fake together, the penalty
    assert set(seen) == {(torch.float32, False)}


# ---- the discriminator's step ----------------------------------------------------------------------------------------


def test_one_step_of_the_discriminator_worked_out_by_hand():
    # D(x) = w . mean(x) + b with gradient w / P at each of the P positions, so its norm is |w| / sqrt(P):
    # L = .1 [ w.(mean S - mean T) + 10 (|w| / sqrt(P) - 1)^2 ], and b has no gradient but its weight decay.
    algorithm = build(LINEAR)
    student, teacher = (x.detach().mean(dim=(0, 2, 3)) for x in maps(algorithm, images()))
    w, b = (p.detach().clone() for p in algorithm.discriminator.parameters())
    norm, root = w.norm(), 16.0  # 16 x 16 positions
    slope = student - teacher + 10 * 2 * (norm / root - 1) * w[0] / norm / root
    algorithm.train_step(images(), optimizers(algorithm, of_discriminator=dict(optimizer=dict(type='SGD', lr=0.5))))
    torch.testing.assert_close(algorithm.discriminator.linear.weight[0], w[0] - 0.5 * 0.1 * slope)
    torch.testing.assert_close(algorithm.discriminator.linear.bias, b)


@pytest.mark.parametrize(
    ('mode', 'penalty', 'default'), [('wgan-gp', 10, True), ('hinge', 0, True), ('hinge', 2, False)]
)
def test_the_discriminator_minimises_the_published_losses(mode, penalty, default):
    algorithm = build(dict(mode=mode, **({} if default else dict(gradient_penalty=penalty))))
    student, teacher = (x.detach() for x in maps(algorithm, images()))
    discriminator = copy.deepcopy(algorithm.discriminator)
    sgd = torch.optim.SGD(discriminator.parameters(), **{k: v for k, v in DISCRIMINATOR_SGD.items() if k != 'type'})
    real, fake = discriminator(torch.cat([teacher, student])).chunk(2)
    loss = adversarial_discriminator_loss(fake, real, mode.removesuffix('-gp'))
    wrapper = optimizers(algorithm)
    if penalty:
        alpha = torch.rand(2, generator=torch.Generator().manual_seed(iteration_seed(1)))
        with per_sample(discriminator):
            loss = loss + gradient_penalty(discriminator, student, teacher, penalty, alpha)
    (0.1 * loss).backward()
    sgd.step()
    log = algorithm.train_step(images(), wrapper)
    for name, value in discriminator.state_dict().items():
        torch.testing.assert_close(algorithm.discriminator.state_dict()[name], value, msg=name)
    logged = sum(float(log[f'discriminator.{k}']) for k in ('loss_adversarial', 'loss_gp')[: 2 if penalty else 1])
    assert logged == pytest.approx(loss.item(), rel=1e-5)
    assert float(log['discriminator.gap']) == pytest.approx((real.mean() - fake.mean()).item(), rel=1e-4, abs=1e-6)


def test_neither_network_runs_twice():
    algorithm = build()
    wrapper = optimizers(algorithm)
    student, teacher = algorithm.student, algorithm.teacher.model
    student.forwards = teacher.forwards = 0
    algorithm.train_step(images(), wrapper)
    assert (student.forwards, teacher.forwards) == (1, 1)


def test_a_step_trains_both_and_forgets_its_maps():
    algorithm = build()
    wrapper = optimizers(algorithm)
    before = state(algorithm)
    algorithm.train_step(images(), wrapper)
    moved = {name.split('.')[0] for name, p in algorithm.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {'architecture', 'discriminator'}
    assert algorithm.adversary.judged == []
    assert all(p.grad is None for p in algorithm.discriminator.parameters())


def test_the_student_is_trained_as_by_a_fixed_discriminator():
    """Its optimizer does not touch the student, and nothing of the student's step gets into its own."""
    one, other = build(LINEAR), build(LINEAR)
    one.train_step(images(), optimizers(one, of_discriminator=dict(optimizer=dict(type='SGD', lr=0.0))))
    other.train_step(images(), optimizers(other, of_discriminator=dict(optimizer=dict(type='SGD', lr=10.0))))
    for a, b in zip(one.student.parameters(), other.student.parameters(), strict=True):
        assert torch.equal(a, b)


def test_several_discriminator_steps_for_one_of_the_student():
    def trained(steps, linear_lr=0.1):
        algorithm = build(dict(LINEAR, discriminator_steps=steps, mode='hinge'))
        algorithm.train_step(
            images(), optimizers(algorithm, of_discriminator=dict(optimizer=dict(type='SGD', lr=linear_lr)))
        )
        return algorithm

    # well inside the margins the hinge is linear, so that two steps go exactly twice as far
    start = build(LINEAR).discriminator.linear.weight
    one, two = (trained(steps).discriminator.linear.weight for steps in (1, 2))
    torch.testing.assert_close(two - start, 2 * (one - start))
    assert not torch.equal(one, start)


def test_the_game_begins_at_start_iter():
    algorithm = build(dict(start_iter=2))
    wrapper = optimizers(algorithm)
    before = state(algorithm.discriminator)
    logs = []
    for _ in range(2):
        logs.append(algorithm.train_step(images(), wrapper))
        assert all(torch.equal(before[name], value) for name, value in algorithm.discriminator.state_dict().items())
    logs.append(algorithm.train_step(images(), wrapper))
    assert [log['distill.loss_holistic'].item() != 0 for log in logs] == [False, False, True]
    assert [any(name.startswith('discriminator') for name in log) for log in logs] == [False, False, True]
    assert not torch.equal(before['last.weight'], algorithm.discriminator.last.weight)


def test_a_stopped_distillation_stops_the_discriminator():
    algorithm = build()
    wrapper = optimizers(algorithm)
    algorithm.distillation_stopped = True
    before = state(algorithm.discriminator)
    log = algorithm.train_step(images(), wrapper)
    assert float(log['distill.loss_holistic']) == 0
    assert all(torch.equal(before[name], value) for name, value in algorithm.discriminator.state_dict().items())


# ---- what the discriminator looks at ---------------------------------------------------------------------------------


def test_a_conditional_discriminator_sees_the_students_input_at_the_size_of_the_maps():
    algorithm = build(dict(discriminator=small_discriminator(preprocess='softmax', conditional=True)))
    seen = []
    algorithm.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    algorithm.train_step(images(), optimizers(algorithm))
    inputs = algorithm.data_preprocessor(images(), True)['inputs']
    expected = nn.functional.interpolate(inputs, (16, 16), mode='bilinear', align_corners=True)
    assert [tuple(x.shape) for x in seen] == [(2, 3, 16, 16), (4, 3, 16, 16), (2, 3, 16, 16)]
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(seen[1], torch.cat([expected, expected]))


def test_maps_of_different_sizes_need_align():
    teacher = dict(type='mmkd.ToySegmentor', stride=1, allow_random=True)
    with pytest.raises(ValueError, match="holistic: .*different spatial sizes.*align='student'.*levels_S"):
        build(teacher=teacher, distill=None)
    for align, size in (('student', 16), ('teacher', 32)):
        algorithm = build(dict(align=align), teacher=teacher, distill=None)
        seen = []
        algorithm.discriminator.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0].shape))
        algorithm.train_step(images(), optimizers(algorithm))
        assert {tuple(shape[-2:]) for shape in seen} == {(size, size)}


def test_the_number_of_classes_is_that_of_the_tap():
    network = dict(type='mmkd.ToySegmentor', num_classes=5)
    algorithm = build(student=network, teacher=dict(network, allow_random=True))
    assert algorithm.discriminator.norm.num_features == 5
    with pytest.raises(ValueError, match="in_channels: missing, and 'backbone' does not say its out_channels"):
        build(dict(taps='backbone'))


# ---- what is around --------------------------------------------------------------------------------------------------


def test_the_discriminator_is_saved_and_ignored_by_ddp():
    algorithm = build()
    names = {name for name in algorithm.state_dict() if name.startswith('discriminator.')}
    assert names == set(algorithm._ddp_params_and_buffers_to_ignore)
    assert any(name.endswith('_u') for name in names)


def test_the_students_weights_do_not_depend_on_the_discriminator():
    one, other = build(), build(dict(discriminator=small_discriminator(base_channels=16)))
    for a, b in zip(one.student.parameters(), other.student.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_game_draws_none_of_the_runs_random_numbers():
    algorithm = build()
    wrapper = optimizers(algorithm)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    algorithm.train_step(images(), wrapper)
    assert torch.equal(torch.get_rng_state(), before)


@torch.no_grad()
def test_copies_have_a_discriminator_of_their_own():
    algorithm = build()
    with torch.enable_grad():
        algorithm.train_step(images(), optimizers(algorithm))
    for copied in (copy.deepcopy(algorithm), ExponentialMovingAverage(algorithm).module):
        before = losses_of(copied, images())['distill.loss_holistic'].item()
        assert before == pytest.approx(losses_of(algorithm, images())['distill.loss_holistic'].item(), rel=1e-6)
        copied.discriminator.last.bias += 1
        assert losses_of(copied, images())['distill.loss_holistic'].item() == pytest.approx(before - 0.1)


def test_predictions_are_the_students():
    algorithm = build().eval()
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        predictions, students = (model(inputs, mode='predict') for model in (algorithm, algorithm.student))
    assert torch.equal(torch.stack(predictions), torch.stack(students))


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('holistic', 'message'),
    [
        (dict(lambda_d=0.1), "holistic: the keys are discriminator, taps, .* got 'lambda_d'"),
        (dict(taps=None), 'holistic.taps: missing'),
        (dict(discriminator=None), 'holistic.discriminator: missing'),
        (dict(discriminator=dict(base_channels=8)), 'holistic.discriminator: a dict with type'),
        (dict(mode='wgan'), "holistic.mode: expected one of 'wgan-gp', 'hinge', but got 'wgan'"),
        (dict(align='both'), 'holistic.align: expected one of'),
        (dict(gradient_penalty=-1), 'holistic.gradient_penalty: a finite number of at least 0'),
        (dict(gradient_penalty=float('nan')), 'holistic.gradient_penalty: a finite number of at least 0 .*, got nan'),
        (dict(gradient_penalty=float('inf')), 'holistic.gradient_penalty: a finite number of at least 0 .*, got inf'),
        (dict(loss_weight='0.1'), "holistic.loss_weight: a finite number .* was expected, got '0.1'"),
        (dict(discriminator_steps=0), 'holistic.discriminator_steps: a whole number of at least 1'),
        (dict(taps=['a']), 'holistic.taps: the name of a module'),
        (dict(taps='conv_segg'), "student_recorders.holistic: the student has no module 'conv_segg'; did you mean"),
    ],
)
def test_mistakes_are_named(holistic, message):
    with pytest.raises(ValueError, match=message):
        build(holistic)


def test_a_loss_of_the_same_name_is_refused():
    with pytest.raises(ValueError, match="'holistic' is the name of the holistic loss"):
        build(distill=dict(holistic=dict(taps='conv_seg', loss=dict(type='PixelWiseLoss'))))


def test_training_without_an_optimizer_for_the_discriminator_is_refused():
    algorithm = build()
    plain = optimizers(build()).student
    with pytest.raises(RuntimeError, match="constructor='mmkd.DistillOptimWrapperConstructor'"):
        algorithm.train_step(images(), plain)


def test_it_is_found_by_name():
    import mmkd

    assert mmkd.AdversarialDistill is AdversarialDistill
