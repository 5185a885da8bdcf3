"""``mmkd report`` and ``mmkd curves``: what a work dir tells."""

import json
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from helpers.html import check_page

from mmkd.apis.errors import UserError
from mmkd.apis.report import named_runs, write_report


@pytest.fixture
def work_dir(tmp_path):
    """A run of 30 iterations as mmengine leaves it, with gradients and pictures as DistillVisualizationHook does."""
    run = tmp_path / 'student_kd'
    data = run / '20261124_120000/vis_data'
    (data / 'vis_image').mkdir(parents=True)
    records = []
    for step in (10, 20, 30):
        records.append(
            {'loss': 5 - step / 10, 'student.loss_cls': 1.0, 'distill.loss_pkd': 2.0, 'lr': 0.1, 'time': 0.25}
        )
        records[-1].update(step=step, iter=step)
        records.append({'grad_share/task': 0.6, 'grad_share/distill.loss_pkd': 0.4, 'step': step})
    records.append({'coco/segm_mAP': 0.312, 'step': 0, 'data_time': 0.1, 'time': 0.2})
    (data / 'scalars.json').write_text(''.join(json.dumps(record) + '\n' for record in records))
    (data / 'config.py').write_text("model = dict(type='<Student>')\n")
    log = 'x\n-----\nSystem environment:\n    PyTorch: 9.9\n\nRuntime environment:\n    seed: 0\n' + '-' * 60
    (run / '20261124_120000/20261124_120000.log').write_text(f'{log}\nDistillation: student A, teacher B\n')
    for step in (10, 20, 30):
        cv2.imwrite(str(data / f'vis_image/validation_0_{step}.png'), np.full((20, 60, 3), step, np.uint8))
    (run / 'last_checkpoint').write_text('/somewhere/iter_30.pth')
    test = run / 'test/20261124_130000'
    test.mkdir(parents=True)
    (test / '20261124_130000.json').write_text(json.dumps({'coco/segm_mAP': 0.317, 'coco/segm_mAP_l': -1.0}))
    return run


def test_a_page_tells_what_the_work_dir_holds(work_dir):
    write_report({'student + KD': work_dir}, work_dir / 'report.html')
    text = check_page(work_dir / 'report.html')
    for shown in (
        '0.312',
        '0.317',
        'iter_30.pth',
        'PyTorch: 9.9',
        'seed: 0',
        '&lt;Student&gt;',
        'student A, teacher B',
    ):
        assert shown in text, shown
    assert 'segm_mAP_l' not in text  # no such objects
    assert text.count('<img ') == 6  # losses, scores, shares, learning rate; first and last picture
    assert 'validation_0, iteration 10' in text and 'validation_0, iteration 20' not in text


def test_several_runs_stand_side_by_side(work_dir, tmp_path):
    shutil.copytree(work_dir, tmp_path / 'alone')
    write_report(named_runs([str(tmp_path / 'alone'), str(work_dir)]), tmp_path / 'report.html')
    text = check_page(tmp_path / 'report.html')
    assert '<title>alone / student_kd</title>' in text and text.count('iter_30.pth') == 2


def test_wrong_folders_and_names_are_told(work_dir, tmp_path):
    with pytest.raises(UserError, match='nowhere.* does not exist'):
        named_runs([str(tmp_path / 'nowhere')])
    with pytest.raises(UserError, match='--names: 1 work dirs need as many different names'):
        named_runs([str(work_dir)], ['a', 'b'])
    with pytest.raises(UserError, match='no record of a training in'):
        write_report({'x': tmp_path}, tmp_path / 'report.html')
    assert not (tmp_path / 'report.html').exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which('chromium'), reason='no browser: apt install chromium')
def test_a_browser_shows_the_page(work_dir, tmp_path):
    page, shot = work_dir / 'report.html', tmp_path / 'shot.png'
    write_report({'student + KD': work_dir}, page)
    options = ['--headless', '--no-sandbox', '--disable-gpu', '--window-size=1240,1800', f'--screenshot={shot}']
    subprocess.run(['chromium', *options, f'file://{page}'], check=True, capture_output=True, timeout=120)
    seen = cv2.imread(str(shot))
    assert seen.shape == (1800, 1240, 3)
    coloured = seen.max(axis=2).astype(int) - seen.min(axis=2) > 60
    assert coloured[300:].sum() > 500  # the curves
