"""Side-by-side pictures and loss curves."""

import json

import cv2
import numpy as np
import pytest

from mmkd.visualization import draw_instances, plot_losses, save_side_by_side
from mmkd.visualization.curves import read_scalars, split_losses


def test_a_mask_is_coloured_inside_and_nothing_changes_outside():
    image = np.full((20, 30, 3), 100, np.uint8)
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 2:8, 2:8] = True
    masks[1, 10:18, 20:28] = True
    drawn = draw_instances(image, masks)
    assert drawn.shape == image.shape and (image == 100).all()
    changed = (drawn != image).any(axis=-1)
    assert changed[masks.any(axis=0)].all()
    assert not changed[~masks.any(axis=0)].any()
    assert (drawn[4, 4] != drawn[14, 24]).any(), 'two instances look alike'


def test_drawing_enlarges_and_takes_no_masks():
    drawn = draw_instances(np.zeros((4, 5, 3), np.uint8), np.zeros((0, 4, 5), bool), scale=3)
    assert drawn.shape == (12, 15, 3)


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r'\(1, 5, 4\) was given, \(N, 4, 5\) was expected'):
        draw_instances(np.zeros((4, 5, 3), np.uint8), np.zeros((1, 5, 4), bool))


def test_panels_stand_side_by_side_in_their_order(tmp_path):
    red, blue = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 255
    path = tmp_path / 'new folder' / 'a.png'
    save_side_by_side([('red', red), ('blue', blue)], path, title='both')
    picture = cv2.imread(str(path))[..., ::-1]
    middle = picture[picture.shape[0] * 2 // 3]
    quarter = len(middle) // 4
    assert middle[quarter].tolist() == [255, 0, 0] and middle[3 * quarter].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match='panels'):
        save_side_by_side([], path)


def write_log(folder, run, records):
    path = folder / run / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(json.dumps(record) for record in records))


def test_a_resumed_run_is_read_as_one(tmp_path):
    write_log(tmp_path, '1', [dict(step=1, loss=5.0), dict(step=2, loss=4.0), {'step': 2, 'coco/mAP': 0.1}])
    write_log(tmp_path, '2', [dict(step=2, loss=3.0), dict(step=3, loss=2.0)])
    assert [(r['step'], r['loss']) for r in read_scalars(tmp_path)] == [(1, 5.0), (2, 3.0), (3, 2.0)]


def test_task_and_distillation_losses_are_told_apart():
    record = {'loss': 6.0, 'student.loss_cls': 1.0, 'student.loss_mask': 2.0, 'distill.loss_fpn': 3.0, 'lr': 0.1}
    assert split_losses(record) == (dict(loss_cls=1.0, loss_mask=2.0), dict(loss_fpn=3.0))
    assert split_losses({'loss': 1.0, 'loss_cls': 1.0, 'time': 2.0}) == (dict(loss_cls=1.0), {})


def test_curves_are_drawn_for_runs_with_and_without_a_teacher(tmp_path):
    write_log(tmp_path / 'plain', '1', [dict(step=i, loss=1.0 / i, loss_cls=1.0 / i) for i in (1, 2, 3)])
    kd = [{'step': i, 'loss': 2.0, 'student.loss_cls': 1.0, 'distill.loss_a': 1.0} for i in (1, 2, 3)]
    write_log(tmp_path / 'kd', '1', kd)
    path = tmp_path / 'out' / 'curves.png'
    plot_losses(dict(plain=tmp_path / 'plain', kd=tmp_path / 'kd', none=tmp_path / 'none'), path)
    assert cv2.imread(str(path)).std() > 5
    with pytest.raises(ValueError, match='no training records'):
        plot_losses(dict(none=tmp_path / 'none'), path)
