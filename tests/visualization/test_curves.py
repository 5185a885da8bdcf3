"""Curves of losses and scores from the logs of runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkd.visualization import plot_scalars
from mmkd.visualization.curves import read_scalars

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """A run of 30 iterations that was resumed after 20, scored twice, as mmengine logs it."""
    first = [
        dict(loss=3.0, loss_mask=1.0, step=10),
        dict(loss=2.0, loss_mask=0.8, step=20),
        {'coco/segm_mAP': 0.1, 'step': 0},
    ]
    second = [
        dict(loss=1.5, loss_mask=0.7, step=20),
        dict(loss=1.0, loss_mask=0.5, step=30),
        {'coco/segm_mAP': 0.2, 'step': 0},
    ]
    for date, records in (('20260101', first), ('20260102', second)):
        file = tmp_path / 'run' / date / 'vis_data/scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(map(json.dumps, records)))
    return tmp_path / 'run'


def test_records_are_those_of_the_key_and_the_later_run_counts(run):
    assert [(r['step'], r['loss']) for r in read_scalars(run)] == [(10, 3.0), (20, 1.5), (30, 1.0)]
    assert [(r['step'], r['coco/segm_mAP']) for r in read_scalars(run, 'coco/segm_mAP')] == [(20, 0.1), (30, 0.2)]
    assert read_scalars(run, 'mIoU') == []


def test_there_is_a_panel_for_each_key(run, tmp_path):
    plot_scalars(dict(one=run), ['loss_mask'], tmp_path / 'new/one.png')
    plot_scalars(dict(one=run, other=run), ['loss_mask', 'coco/segm_mAP'], tmp_path / 'two.png')
    one, two = Image.open(tmp_path / 'new/one.png'), Image.open(tmp_path / 'two.png')
    assert two.width == 2 * one.width and two.height == one.height
    assert np.asarray(two.convert('L')).min() < 100  # something is drawn


def test_the_tool_names_what_is_missing(run, tmp_path, server):
    def done(*options):
        return server.run([ROOT / 'tools/visualize/curves.py', run, '--out', 'out.png', *options], tmp_path)

    wrong = done('--keys', 'loss', 'mIoU')
    assert wrong.code == 2 and '--keys: no record of mIoU' in wrong.output and 'Traceback' not in wrong.output
    assert not (tmp_path / 'out.png').exists()
    assert done('--keys', 'loss', 'coco/segm_mAP').code == 0
    assert (tmp_path / 'out.png').is_file()
    wrong = done('--names', 'a', 'b')
    assert wrong.code == 2 and '1 work dirs need as many different names' in wrong.output
