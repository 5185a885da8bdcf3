"""The teacher: when it is built, what it may be loaded from, and in which precision it runs."""

import copy
import random

import numpy as np
import pytest
import torch
from helpers.distillation_toys import batch, toy
from helpers.foreign_files import served
from mmengine.config import Config
from torch import nn

from mmkd.distillation.teacher import FrozenTeacher
from mmkd.distillation.teacher.early_exit import Tap
from mmkd.distillation.teacher.network import build_network
from mmkd.distillation.teacher.weights import load_teacher_weights
from mmkd.utils.model_config import resolve_network

TOY = toy(channels=4, data_preprocessor=dict(type='ImgDataPreprocessor'))


def save(folder, state_dict, name='teacher.pth', **more):
    path = str(folder / name)
    torch.save(dict(state_dict=state_dict, **more), path)
    return path


def built(**options):
    return FrozenTeacher.from_config(dict(TOY, allow_random=True, **options))


# ---- building --------------------------------------------------------------------------------------------------------


def test_nothing_is_built_until_it_is_needed():
    teacher = built()
    assert not teacher.built
    copy.deepcopy(teacher).to('cpu')
    assert not teacher.built
    assert teacher.model is teacher.model and teacher.built


def test_building_draws_no_random_numbers_of_the_run():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = draw()
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    built().build()
    assert draw() == expected


def test_the_network_is_in_eval_mode_and_keeps_no_gradients():
    model = built().model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_synchronised_batch_norm_becomes_the_plain_one():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.SyncBatchNorm(4))
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in FrozenTeacher(model).model.modules())


def test_it_is_built_where_the_algorithm_has_moved_to():
    teacher = built().to('meta')
    assert not teacher.built
    assert next(teacher.model.parameters()).is_meta


def test_copies_share_the_network():
    teacher = built()
    assert copy.deepcopy(dict(teacher=teacher))['teacher'] is teacher


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dtype='int8'), "teacher.dtype: one of .* was expected, got 'int8'"),
        (dict(mode='predict'), "teacher.mode: one of .* was expected, got 'predict'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        built(**options)


def test_a_teacher_is_a_model_or_a_config():
    with pytest.raises(TypeError, match="teacher: .* was expected, got 'v99.pth'"):
        FrozenTeacher.from_config('v99.pth')


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('prefix', ['', 'module.', 'architecture.', 'module.architecture.'])
def test_weights_are_found_however_they_are_wrapped(tmp_path, prefix):
    trained = build_network(TOY)
    state_dict = {prefix + key: value for key, value in trained.state_dict().items()}
    if 'architecture' in prefix:
        state_dict[prefix.replace('architecture', 'distiller') + 'connectors.weight'] = torch.zeros(1)
    loaded = build_network(TOY)
    load_teacher_weights(loaded, save(tmp_path, state_dict, optimizer=dict(), meta=dict(epoch=3)))
    for key, value in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


def test_parts_that_the_teacher_does_not_have_are_left_out(tmp_path):
    state_dict = {**build_network(TOY).state_dict(), 'mask_head.conv.weight': torch.zeros(1)}
    load_teacher_weights(build_network(TOY), save(tmp_path, state_dict))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda s: s.pop('bbox_head.conv_cls.bias'), "1 of 18 keys are missing, first 'bbox_head.conv_cls.bias'"),
        (lambda s: s.update({'backbone.conv.bias': torch.zeros(9)}), r"'backbone.conv.bias': \(9,\), expected \(4,\)"),
        (
            lambda s: s.update({'backbone.stage5.weight': torch.zeros(1)}),
            "no place .* first 'backbone.stage5",
        ),
    ],
)
def test_weights_of_another_network_are_refused_by_name(tmp_path, change, message):
    state_dict = build_network(TOY).state_dict()
    change(state_dict)
    path = save(tmp_path, state_dict)
    with pytest.raises(ValueError, match=f"teacher.ckpt '{path}'.*{message}"):
        FrozenTeacher.from_config(dict(TOY, ckpt=path)).build()


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    ran = tmp_path / 'ran'

    class Payload:
        def __reduce__(self):
            return open, (str(ran), 'w')

    path = save(tmp_path, build_network(TOY).state_dict(), payload=Payload())
    with pytest.raises(ValueError, match='teacher.ckpt.*could run code'):
        FrozenTeacher.from_config(dict(TOY, ckpt=path)).build()
    assert not ran.exists()


def test_loading_takes_nothing_from_what_the_run_may_load(tmp_path):
    """With mmengine 0.10.7 that is allowed for good, since it could not resume otherwise."""
    from mmkd.allow_list import allowed_globals

    path = save(tmp_path, build_network(TOY).state_dict())
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals(allowed_globals())
    try:
        allowed = set(torch.serialization.get_safe_globals())
        FrozenTeacher.from_config(dict(TOY, ckpt=path)).build()
        assert set(torch.serialization.get_safe_globals()) == allowed
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_mmrazors_key_for_the_checkpoint_is_understood(tmp_path):
    path = save(tmp_path, build_network(TOY).state_dict())
    assert FrozenTeacher.from_config(TOY, path).ckpt == path
    assert FrozenTeacher.from_config(dict(TOY, ckpt=path), path).ckpt == path
    with pytest.raises(ValueError, match='teacher.ckpt=.*and teacher_ckpt=.*contradict'):
        FrozenTeacher.from_config(dict(TOY, ckpt=path), 'other.pth')


def test_mmrazors_explicit_none_starts_with_random_weights_and_a_warning(monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmkd.distillation.teacher.frozen_teacher.print_log', lambda message, **kwargs: said.append(message)
    )
    FrozenTeacher.from_config(TOY, None).build()
    assert len(said) == 1 and 'THE TEACHER HAS RANDOM WEIGHTS' in said[0]
    with pytest.raises(ValueError, match='teacher.ckpt: a checkpoint was expected, got none'):
        FrozenTeacher.from_config(dict(TOY, ckpt=None)).build()


def test_pretrained_weights_in_the_models_own_config_count_as_its_checkpoint(tmp_path):
    path = save(tmp_path, build_network(TOY).state_dict())
    config = dict(TOY, init_cfg=dict(type='Pretrained', checkpoint=path))
    loaded = FrozenTeacher.from_config(config).model
    assert torch.equal(loaded.backbone.conv.weight, torch.load(path)['state_dict']['backbone.conv.weight'])


def test_a_url_is_downloaded_once(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    state_dict = build_network(TOY).state_dict()
    (tmp_path / 'files').mkdir()
    save(tmp_path / 'files', state_dict, 'v99.pth')
    with served(tmp_path / 'files') as (url, asked):
        for _ in range(2):
            model = FrozenTeacher.from_config(dict(TOY, ckpt=f'{url}/v99.pth')).model
            assert torch.equal(model.backbone.conv.weight, state_dict['backbone.conv.weight'])
    assert asked == ['/v99.pth']


# ---- configs ---------------------------------------------------------------------------------------------------------


def write_config(folder, text, name='config.py'):
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_config_file_gives_the_model_and_further_keys_override_it(tmp_path):
    path = write_config(tmp_path, 'model = dict(type="mmkd.ToyDetector", channels=8, num_classes=4)')
    network = resolve_network(dict(cfg_path=path, channels=6, pretrained=None), 'teacher')
    assert (network.type, network.channels, network.num_classes) == ('mmkd.ToyDetector', 6, 4)
    assert network.pretrained is None  # an argument of the model; a bool would be about its weights


def test_a_preprocessor_beside_the_model_goes_with_it(tmp_path):
    text = 'data_preprocessor = dict(type="ImgDataPreprocessor")\nmodel = dict(type="mmkd.ToyDetector")'
    path = write_config(tmp_path, text)
    assert resolve_network(dict(cfg_path=path), 'teacher').data_preprocessor.type == 'ImgDataPreprocessor'


def test_a_distillation_config_stands_for_its_student(tmp_path):
    text = (
        'model = dict(type="DenseDistill", student=dict(type="mmkd.ToyDetector", channels=5), '
        'teacher=dict(type="mmkd.ToyDetector"), distill=dict())'
    )
    assert resolve_network(dict(cfg_path=write_config(tmp_path, text)), 'teacher').channels == 5


def test_a_config_of_a_package_is_built_in_its_own_scope():
    network = resolve_network(dict(cfg_path='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'), 'teacher')
    assert network._scope_ == 'mmdet' and network.data_preprocessor.bgr_to_rgb


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (dict(cfg_path='nowhere.py'), r"teacher.cfg_path: 'nowhere.py' is not a file"),
        (dict(cfg_path='mmdet::nowhere/nothing.py'), r"teacher.cfg_path: 'mmdet::nowhere/nothing.py' cannot be read"),
        (dict(depth=18), r"teacher: type or cfg_path was expected, the keys given are \['depth'\]"),
    ],
)
def test_a_config_that_cannot_be_read_is_named(network, message):
    with pytest.raises(ValueError, match=message):
        resolve_network(network, 'teacher')


def test_a_config_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match='teacher.cfg_path: .*config.py.* has no model'):
        resolve_network(dict(cfg_path=write_config(tmp_path, 'lr = 1')), 'teacher')


def test_the_given_config_is_not_changed(tmp_path):
    path = write_config(tmp_path, 'model = dict(type="mmkd.ToyDetector")')
    given = Config(dict(teacher=dict(cfg_path=path, channels=3))).teacher
    before = copy.deepcopy(given)
    resolve_network(given, 'teacher')
    assert given == before


# ---- running ---------------------------------------------------------------------------------------------------------


def precision_of(teacher):
    seen = []
    handle = teacher.model.backbone.conv.register_forward_hook(lambda m, a, output: seen.append(output.dtype))
    teacher.run(batch())
    handle.remove()
    return seen[0]


@pytest.mark.parametrize('students', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('dtype', [None, 'bfloat16', 'float16'])
def test_its_precision_is_its_own_whatever_the_students_is(dtype, students):
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=students is torch.bfloat16):
        wanted = torch.float32 if dtype is None else getattr(torch, dtype)
        assert precision_of(built(dtype=dtype)) == wanted


def test_it_keeps_no_graph_and_its_outputs_may_enter_a_loss():
    teacher, outputs = built(), []
    teacher.model.neck.register_forward_hook(lambda m, a, output: outputs.extend(output))
    teacher.run(batch().requires_grad_())
    assert not outputs[0].requires_grad
    weight = torch.ones((), requires_grad=True)
    (weight * outputs[0]).square().sum().backward()  # an inference tensor would raise here
    assert weight.grad.isfinite()


def test_it_stays_in_eval_mode_even_if_someone_says_train():
    teacher = built()
    teacher.model.train()
    teacher.run(batch())
    assert not any(module.training for module in teacher.model.modules())


def test_early_exit_can_be_switched_off():
    for early_exit, ran_to_the_end in ((True, 0), (False, 1)):
        teacher = built(early_exit=early_exit)
        teacher.run(batch(), taps=[Tap('neck')])
        assert teacher.model.after_head == ran_to_the_end


def test_the_conversion_of_images_can_be_switched_off():
    from mmengine.model import ImgDataPreprocessor

    students = ImgDataPreprocessor(mean=[1, 2, 3], std=[1, 1, 1])
    for normalize, same in ((True, False), (False, True)):
        teacher, inputs = built(normalize=normalize), batch()
        teacher.run(inputs, None, students)
        assert (teacher.model.seen is inputs) is same


def test_it_predicts_with_its_own_preprocessor():
    pixels = torch.full((3, 32, 32), 5, dtype=torch.uint8)
    teacher = built()
    assert len(teacher.val_step(dict(inputs=[pixels]))) == 3
    assert torch.equal(teacher.model.seen, pixels[None].float())
