"""Hooks of the hosts, and whoever else asks the model for its parts, find the student's at the algorithm."""

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from helpers.distillation_toys import ToyDetector, batch, toy, two_losses
from mmdet.engine.hooks import MeanTeacherHook, NumClassCheckHook, SetEpochInfoHook, YOLOXModeSwitchHook
from mmengine.hooks import EMAHook
from mmengine.model import BaseModel

from mmkd.distillation.algorithms import DenseDistill

TEACHER = dict(toy(channels=8, out_channels=10), allow_random=True)


class HookedDetector(ToyDetector):
    """With what mmdet's hooks look for."""

    cfg = dict(name='of the student')

    @property
    def with_neck(self):
        return self.neck is not None

    def set_epoch(self, epoch):
        self.bbox_head.epoch = epoch


class SemiSupervisedDetector(BaseModel):
    """Two networks in one model, as in mmdet's SoftTeacher; the outer one's parts are those of the inner student."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = ToyDetector(dropout=0.0), ToyDetector(dropout=0.0)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.student(inputs, data_samples, mode)


def distilled(student, distill=None):
    return DenseDistill(student, TEACHER, distill or two_losses(), dry_run=dict(size=(32, 32)))


def runner_of(model, **options):
    defaults = dict(model=model, epoch=9, max_epochs=10, iter=0, max_iters=20, logger=SimpleNamespace(info=print))
    return SimpleNamespace(**{**defaults, **options})


@pytest.fixture
def student():
    torch.manual_seed(0)
    return HookedDetector(dropout=0.0)


# ---- what is found, and where ----------------------------------------------------------------------------------------


def test_attributes_of_the_student_are_found(student):
    algorithm = distilled(student)
    for name in ('backbone', 'neck', 'bbox_head', 'cfg', 'after_head'):
        assert getattr(algorithm, name) is getattr(student, name)
    assert algorithm.with_neck is True
    assert algorithm.set_epoch == student.set_epoch
    assert not hasattr(algorithm, 'module') and not hasattr(algorithm, 'detector')


def test_its_own_come_first(student):
    student.inherit = student.distiller = student.teacher = 'of the student'
    algorithm = distilled(student)
    assert algorithm.inherit != 'of the student'
    assert algorithm.distiller is algorithm._modules['distiller']
    assert algorithm.teacher is not student.teacher
    assert algorithm.student is algorithm.architecture is student


def test_settings_with_an_underscore_stay_at_their_module(student):
    student._ddp_params_and_buffers_to_ignore = ['backbone.conv.weight']
    assert not hasattr(distilled(student), '_ddp_params_and_buffers_to_ignore')


def test_what_neither_has_is_said_of_both(student):
    algorithm = distilled(student)
    with pytest.raises(AttributeError, match="'DenseDistill' has no attribute 'rpn_head', nor has its student"):
        algorithm.rpn_head  # noqa: B018


def test_an_algorithm_without_a_student_yet_has_no_attributes_of_one():
    bare = DenseDistill.__new__(DenseDistill)
    with pytest.raises(AttributeError):
        bare.backbone  # noqa: B018
    torch.nn.Module.__init__(bare)
    with pytest.raises(AttributeError):
        bare.student  # noqa: B018


@pytest.mark.parametrize('how', [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_of_the_algorithm(student, how):
    algorithm = distilled(student)
    algorithm(batch(), mode='loss')
    copied = how(algorithm)
    assert type(copied) is DenseDistill
    assert copied.backbone is copied.student.backbone
    assert list(copied.state_dict()) == list(algorithm.state_dict())
    assert {key.split('.')[0] for key in copied.state_dict()} == {'architecture', 'distiller'}


# ---- hooks -----------------------------------------------------------------------------------------------------------


def test_yolox_mode_switch_hook_turns_on_the_l1_loss_of_the_student(student):
    skipped = []
    loader = SimpleNamespace(dataset=SimpleNamespace(update_skip_type_keys=skipped.append))
    YOLOXModeSwitchHook(num_last_epochs=2).before_train_epoch(runner_of(distilled(student), train_dataloader=loader))
    assert student.bbox_head.use_l1 is True
    assert len(skipped) == 1


def test_set_epoch_info_hook_tells_the_student(student):
    SetEpochInfoHook().before_train_epoch(runner_of(distilled(student)))
    assert student.bbox_head.epoch == 9


def test_num_class_check_hook_looks_at_the_head_of_the_student(student):
    student.bbox_head.num_classes = 3
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=('a', 'b', 'c'))))
    hook = NumClassCheckHook()
    hook.before_train_epoch(runner_of(distilled(student), train_dataloader=loader))
    student.bbox_head.num_classes = 2
    with pytest.raises(AssertionError, match='The `num_classes` .2. in ToyHead'):
        hook.before_train_epoch(runner_of(distilled(student), train_dataloader=loader))


def test_mean_teacher_hook_averages_the_pair_inside_of_the_student():
    torch.manual_seed(0)
    plain = SemiSupervisedDetector()
    student = copy.deepcopy(plain)
    algorithm = distilled(student, dict(cls=dict(taps='student.neck', loss=dict(type='FeatureMSELoss'))))
    for model, detector in ((plain, plain), (algorithm, student)):
        hook = MeanTeacherHook(momentum=0.25)
        hook.before_train(runner_of(model))
        torch.nn.init.ones_(detector.student.backbone.conv.weight)
        hook.after_train_iter(runner_of(model), 0)
    for name, value in plain.state_dict().items():
        assert torch.equal(student.state_dict()[name], value), name
    start, end = 1 - plain.teacher.backbone.conv.weight, 1 - plain.student.backbone.conv.weight
    assert start.abs().max() > 0 and not end.any()  # there was something to average


def test_mean_teacher_hook_never_writes_to_the_teacher_of_a_distillation(student):
    algorithm = distilled(student)
    algorithm.prepare()
    before = copy.deepcopy(algorithm.teacher.model.state_dict())
    with pytest.raises(ValueError, match='custom_hooks: MeanTeacherHook .* a HookedDetector, has no such pair'):
        MeanTeacherHook().before_train(runner_of(algorithm))
    for name, value in algorithm.teacher.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize('update_buffers', [False, True])
def test_ema_hook_averages_the_student_as_it_does_alone(student, update_buffers):
    averaged = []
    for model in (copy.deepcopy(student), distilled(copy.deepcopy(student))):
        plain = getattr(model, 'student', model)
        hook = EMAHook(momentum=0.1, update_buffers=update_buffers)
        runner = runner_of(model)
        hook.before_run(runner)
        hook.before_train(runner)
        for value in (1.0, 2.0):
            for tensor in (plain.backbone.conv.weight, plain.backbone.bn.running_mean):
                torch.nn.init.constant_(tensor, value)
            hook.after_train_iter(runner, 0)
        hook.before_val_epoch(runner)  # the averaged weights are validated
        averaged.append({name: value.clone() for name, value in plain.state_dict().items()})
        hook.after_val_epoch(runner)
        assert plain.backbone.conv.weight.eq(2.0).all()
    assert averaged[0].keys() == averaged[1].keys()
    for name, value in averaged[0].items():
        assert torch.equal(averaged[1][name], value), name
    assert not averaged[0]['backbone.conv.weight'].eq(2.0).any()
