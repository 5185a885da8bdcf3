"""The rules of the distillation core, and that mmrazor's own SingleTeacherDistill breaks each of them.

A rule is a function that looks at an algorithm and says whether it is kept. Every one is asked of both.
"""

import copy

import pytest
import torch
from helpers.distillation_toys import CAFFE_BGR, IMAGENET_RGB, batch, toy
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import DefaultScope

from mmkd.compat import import_mmrazor
from mmkd.distillation.algorithms import DenseDistill

STUDENT = toy(channels=4, data_preprocessor=IMAGENET_RGB)
TEACHER = toy(channels=8, data_preprocessor=CAFFE_BGR)


def mmrazor_vocabulary(source):
    """One feature loss (on equal channels) in the words that both algorithms understand."""
    return dict(
        type='ConfigurableDistiller',
        student_recorders=dict(tap=dict(type='ModuleOutputs', source=source)),
        teacher_recorders=dict(tap=dict(type='ModuleOutputs', source=source)),
        distill_losses=dict(loss_l2=dict(type='L2Loss')),
        loss_forward_mappings=dict(
            loss_l2=dict(
                s_feature=dict(recorder='tap', from_student=True), t_feature=dict(recorder='tap', from_student=False)
            )
        ),
    )


def build(kind, source='bbox_head.conv_cls', student=STUDENT, teacher=TEACHER, teacher_ckpt=None):
    torch.manual_seed(0)
    options = dict(teacher=copy.deepcopy(teacher), teacher_ckpt=teacher_ckpt, distiller=mmrazor_vocabulary(source))
    if kind == 'mmkd':
        return DenseDistill(architecture=copy.deepcopy(student), dry_run=dict(size=(32, 32)), **options)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        algorithm = import_mmrazor().registry.MODELS.get('SingleTeacherDistill')
        return algorithm(architecture=copy.deepcopy(student), **options)


def step(algorithm):
    losses = algorithm(batch(), mode='loss')
    algorithm.parse_losses(losses)[0].backward()
    return losses


def network_of_the_teacher(algorithm):
    return getattr(algorithm.teacher, 'model', algorithm.teacher)


def recorded(algorithm, side):
    """What one side's recorder holds when the losses are computed."""
    found = []
    compute = algorithm.distiller.compute_distill_losses
    recorders = getattr(algorithm.distiller, f'{side}_recorders')

    def look_and_compute(*args):
        found.append(recorders.get_recorder('tap').get_record_data().detach().clone())
        return compute(*args)

    algorithm.distiller.compute_distill_losses = look_and_compute
    step(algorithm)
    return found[0]


# ---- the rules -------------------------------------------------------------------------------------------------------


def every_layer_of_the_teacher_is_in_eval_mode(algorithm):
    algorithm.train()
    step(algorithm)
    return not any(module.training for module in network_of_the_teacher(algorithm).modules())


def the_teacher_gives_the_same_twice(algorithm):
    algorithm.train()
    return torch.equal(recorded(algorithm, 'teacher'), recorded(algorithm, 'teacher'))


def the_teacher_is_not_among_the_parameters(algorithm):
    step(algorithm)
    own = {id(p) for p in algorithm.parameters()}
    return not any(id(p) in own for p in network_of_the_teacher(algorithm).parameters())


def the_teacher_is_not_in_the_state_dict(algorithm):
    step(algorithm)
    return not any(key.startswith('teacher') for key in algorithm.state_dict())


def the_teacher_is_no_submodule(algorithm):
    """What DDP wraps, SyncBN conversion walks and summaries count."""
    step(algorithm)
    return not any(module is network_of_the_teacher(algorithm) for module in algorithm.modules())


def the_moving_average_holds_no_teacher(algorithm):
    network_of_the_teacher(algorithm)
    average = ExponentialMovingAverage(algorithm)
    copied = [m for m in average.modules() if type(m).__name__ == 'ToyDetector']
    return len(copied) == 1


def the_teacher_computes_no_losses(algorithm):
    step(algorithm)
    return network_of_the_teacher(algorithm).bbox_head.losses_computed == 0


def the_teacher_sees_its_own_normalisation(algorithm):
    pixels = torch.randint(0, 256, (3, 32, 48), dtype=torch.uint8)  # BGR
    data = algorithm.data_preprocessor(dict(inputs=[pixels]), True)
    algorithm(**data, mode='loss')
    seen = network_of_the_teacher(algorithm).seen
    wanted = pixels.float() - torch.tensor(CAFFE_BGR['mean'])[:, None, None]
    return torch.allclose(seen[0], wanted, atol=1e-3)


def the_records_are_gone_after_a_step(algorithm):
    step(algorithm)
    managers = (algorithm.distiller.student_recorders, algorithm.distiller.teacher_recorders)
    return not any(recorder.data_buffer for manager in managers for recorder in manager.recorders.values())


def the_algorithm_can_be_copied_after_a_step(algorithm):
    step(algorithm)
    try:
        copied = copy.deepcopy(algorithm)
    except RuntimeError:
        return False
    return step(copied).keys() == step(algorithm).keys()


def a_stopped_distillation_does_not_run_the_teacher(algorithm):
    algorithm.distillation_stopped = True
    network_of_the_teacher(algorithm).seen = None
    step(algorithm)
    return network_of_the_teacher(algorithm).seen is None


RULES = [
    every_layer_of_the_teacher_is_in_eval_mode,
    the_teacher_gives_the_same_twice,
    the_teacher_is_not_among_the_parameters,
    the_teacher_is_not_in_the_state_dict,
    the_teacher_is_no_submodule,
    the_moving_average_holds_no_teacher,
    the_teacher_computes_no_losses,
    the_teacher_sees_its_own_normalisation,
    the_records_are_gone_after_a_step,
    the_algorithm_can_be_copied_after_a_step,
    a_stopped_distillation_does_not_run_the_teacher,
]


@pytest.mark.parametrize('rule', RULES)
def test_rule_is_kept(rule):
    assert rule(build('mmkd'))


@pytest.mark.parametrize('rule', RULES)
def test_mmrazor_breaks_the_rule(rule):
    assert not rule(build('mmrazor'))


def test_a_stopped_distillation_still_logs_its_losses_as_zero():
    algorithm = build('mmkd')
    before = step(algorithm)
    algorithm.distillation_stopped = True
    after = step(algorithm)
    assert after.keys() == before.keys()
    assert after['distill.loss_l2'] == 0 and before['distill.loss_l2'] > 0


# ---- taps that are written over --------------------------------------------------------------------------------------


@pytest.mark.parametrize('side', ['student', 'teacher'])
@pytest.mark.parametrize(
    'source', ['backbone.bn', 'backbone.residual'], ids=['before an in-place ReLU', 'before an in-place sum']
)
def test_a_record_is_what_the_tapped_module_gave(source, side):
    """After mmrazor's the minimum of a tap before an in-place ReLU is 0, since its guard against them is dead on
    PyTorch 2 (it looks for an OrderedDict of modules); against in-place sums it never had one."""
    same = toy(channels=4, dropout=0.0)
    records = {kind: recorded(build(kind, source, same, same), side) for kind in ('mmkd', 'mmrazor')}

    algorithm = build('mmkd', source, same, same)
    network = algorithm.student if side == 'student' else algorithm.teacher.model
    network.train(side == 'student')
    backbone = network.backbone
    with torch.no_grad():
        expected = backbone.bn(backbone.conv(batch()))
        if source == 'backbone.residual':
            expected = backbone.residual(expected.relu())
    torch.testing.assert_close(records['mmkd'], expected)
    assert expected.min() < 0
    assert not torch.allclose(records['mmrazor'], expected)


def test_only_what_would_write_over_a_tap_is_switched_to_out_of_place():
    same = toy(channels=4, dropout=0.0)
    teacher = dict(same, early_exit=False)  # else it ends before the ReLU comes
    away, before_relu = (build('mmkd', tap, same, teacher) for tap in ('neck.convs.0', 'backbone.bn'))
    for algorithm in (away, before_relu):
        step(algorithm)
    for network in (away.student, away.teacher.model):
        assert network.backbone.relu.inplace  # costs the student no memory
    for network in (before_relu.student, before_relu.teacher.model):
        assert not network.backbone.relu.inplace


def test_in_place_modules_can_be_kept_and_the_record_is_right_all_the_same():
    same = toy(channels=4, dropout=0.0)
    algorithm = DenseDistill(
        student=same,
        teacher=dict(same, allow_random=True),
        distiller=mmrazor_vocabulary('backbone.bn'),
        module_inplace=True,
        teacher_module_inplace=True,
        dry_run=False,
    )
    for _ in range(2):
        assert recorded(algorithm, 'student').min() < 0
        assert recorded(algorithm, 'teacher').min() < 0
    assert algorithm.student.backbone.relu.inplace and algorithm.teacher.model.backbone.relu.inplace


def test_gradients_flow_through_a_tap_that_is_written_over():
    """With an in-place sum after the tap, the loss on it must reach the layers before it, and only those."""
    same = toy(channels=4, dropout=0.0)
    algorithm = build('mmkd', 'backbone.residual', same, same)
    algorithm(batch(), mode='loss')['distill.loss_l2'].backward()
    assert algorithm.student.backbone.conv.weight.grad.abs().sum() > 0
    assert algorithm.student.neck.convs[0].weight.grad is None


# ---- the teacher's checkpoint ----------------------------------------------------------------------------------------


def checkpoint_of(tmp_path, **options):
    path = str(tmp_path / 'teacher.pth')
    torch.save(dict(state_dict=DenseDistill(**minimal(student=toy(**options))).student.state_dict()), path)
    return path


def minimal(**options):
    distill = dict(cls=dict(taps='bbox_head.conv_cls', loss=dict(type='PixelWiseLoss')))
    return {**dict(student=toy(), teacher=toy(), distill=distill, dry_run=dict(size=(32, 32))), **options}


def test_a_teacher_checkpoint_that_does_not_fit_stops_the_training_and_names_the_key(tmp_path):
    path = checkpoint_of(tmp_path, channels=5)
    build('mmrazor', teacher_ckpt=path)  # only warns, and goes on with random weights
    with pytest.raises(ValueError, match=r"teacher.ckpt .*teacher.pth.*'backbone.conv.weight'"):
        build('mmkd', teacher_ckpt=path).init_weights()


def test_testing_needs_no_teacher_file():
    missing = dict(student=toy(), teacher=dict(cfg_path='nowhere.py', ckpt='nowhere.pth'))
    algorithm = DenseDistill(**minimal(**missing)).eval()
    assert len(algorithm(batch(), mode='predict')) == 3
    assert len(algorithm(batch(), mode='tensor')) == 3
    assert not algorithm.teacher.built
    with pytest.raises(FileNotFoundError):
        build('mmrazor', teacher_ckpt='nowhere.pth')


def test_training_without_the_teacher_file_says_which_key_is_wrong():
    with pytest.raises(FileNotFoundError, match='teacher.ckpt.*nowhere.pth'):
        DenseDistill(**minimal(teacher=dict(toy(), ckpt='nowhere.pth'))).init_weights()
    with pytest.raises(ValueError, match='teacher.cfg_path.*nowhere.py'):
        DenseDistill(**minimal(teacher=dict(cfg_path='nowhere.py', ckpt='nowhere.pth'))).init_weights()
    with pytest.raises(ValueError, match='teacher.ckpt: a checkpoint was expected, got none'):
        DenseDistill(**minimal()).init_weights()
