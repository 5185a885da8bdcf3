"""Pictures of student and teacher at each validation."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmkd.engine.hooks import ValidationPanelsHook


@pytest.fixture
def files(tmp_path):
    """Three grey images of 40 x 20."""
    for i in range(3):
        Image.fromarray(np.full((20, 40, 3), 100, np.uint8)).save(tmp_path / f'{i}.png')
    return [str(tmp_path / f'{i}.png') for i in range(3)]


class Drawn(list):
    def add_image(self, name, image, step):
        self.append((name, image, step))


class Images(list):
    metainfo = dict(palette=[[255, 0, 0], [0, 255, 0]])

    def get_data_info(self, index):
        return self[index]


def box_sample(path, *boxes):
    found = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4).float(), labels=torch.zeros(len(boxes), dtype=int))
    found.scores = torch.ones(len(boxes))
    return DetDataSample(metainfo=dict(img_path=path), pred_instances=found)


def make_runner(files, predict):
    truth = dict(instances=[dict(bbox=[2, 2, 12, 12], bbox_label=0, ignore_flag=0)])
    teacher = SimpleNamespace(val_step=predict)
    return SimpleNamespace(
        iter=7,
        model=SimpleNamespace(teacher=teacher),
        visualizer=Drawn(),
        val_dataloader=SimpleNamespace(dataset=Images(dict(truth, img_path=path) for path in files)),
        logger=SimpleNamespace(info=print),
    )


def validate(hook, runner, batches):
    hook.before_val_epoch(runner)
    for index, batch in enumerate(batches):
        hook.after_val_iter(runner, index, dict(data_samples=batch), batch)


def test_the_first_images_are_drawn_and_the_teacher_is_asked_once(files):
    asked = []

    def predict(batch):
        asked.append(len(batch['data_samples']))
        return [box_sample(sample.img_path, [2, 2, 12, 12]) for sample in batch['data_samples']]

    runner, hook = make_runner(files, predict), ValidationPanelsHook(number=2)
    batches = [[box_sample(files[0])], [box_sample(files[1], [20, 2, 30, 12]), box_sample(files[2])]]
    validate(hook, runner, batches)
    assert not runner.visualizer  # a validation that belongs to no training
    hook.before_train(runner)
    validate(hook, runner, batches)
    runner.iter = 14
    validate(hook, runner, batches)
    assert [(name, step) for name, _, step in runner.visualizer] == [
        ('validation_0', 7),
        ('validation_1', 7),
        ('validation_0', 14),
        ('validation_1', 14),
    ]
    assert asked == [1, 2]
    image = runner.visualizer[0][1]
    assert image.shape == (
        180 + 22,
        5 * 364,
        3,
    )  # image, truth, teacher, student, agreement: at 360 pixels, with titles
    panels = [image[22:, 364 * i : 364 * i + 360] for i in range(5)]
    assert (panels[1] == panels[2]).all() and (panels[0] == panels[3]).all()  # the student sees nothing
    assert [255, 150, 0] in panels[4].reshape(-1, 3).tolist()  # and the teacher is right


def test_a_teacher_that_cannot_predict_is_left_out(files, capsys):
    def predict(batch):
        raise ValueError('teacher.ckpt has no bbox_head')

    runner, hook = make_runner(files, predict), ValidationPanelsHook()
    hook.before_train(runner)
    batches = [[box_sample(path)] for path in files]
    validate(hook, runner, batches)
    validate(hook, runner, batches)
    assert {image.shape[1] for _, image, _ in runner.visualizer} == {3 * 364}
    assert capsys.readouterr().out.count('teacher.ckpt has no bbox_head') == 3  # once an image


def test_label_maps_have_the_colours_of_the_data_set(files):
    def sample(path, label):
        return SegDataSample(metainfo=dict(img_path=path), pred_sem_seg=PixelData(data=torch.full((1, 20, 40), label)))

    runner, hook = make_runner(files, lambda batch: [sample(files[0], 1)]), ValidationPanelsHook()
    runner.val_dataloader.dataset = Images([dict(img_path=path) for path in files])
    hook.before_train(runner)
    validate(hook, runner, [[sample(files[0], 0)]])
    ((_, image, _),) = runner.visualizer
    assert image[100, 364 + 50].tolist() == [0, 255, 0]  # the teacher
    assert image[100, 2 * 364 + 50].tolist() == [255, 0, 0]  # the student


def test_tasks_without_pictures_are_left_alone(files):
    runner, hook = make_runner(files, None), ValidationPanelsHook()
    hook.before_train(runner)
    validate(hook, runner, [[torch.zeros(1)], [DetDataSample(metainfo=dict(img_path=files[0]))]])
    assert not runner.visualizer
    assert cv2.imread(files[0]) is not None
