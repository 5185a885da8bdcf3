"""The demo as a whole, with students that are trained for one iteration."""

import json
import runpy
from pathlib import Path

import pytest
from helpers.html import check_page

PROJECT = Path(__file__).parents[2] / 'projects' / 'nuclei_example'


@pytest.fixture
def run_demo(monkeypatch):
    monkeypatch.syspath_prepend(str(PROJECT))
    return runpy.run_path(str(PROJECT / 'demo.py'))['run_demo']


@pytest.mark.slow
def test_the_demo_trains_tests_and_draws_and_uses_what_is_there_a_second_time(tmp_path, run_demo, capsys):
    run_demo(tmp_path, max_iters=1)
    shown = capsys.readouterr().out
    results = {result['model']: result for result in json.loads((tmp_path / 'results.json').read_text())}
    assert list(results) == ['teacher', 'student', 'student + KD']
    assert results['teacher']['mask_ap'] > 50  # it comes trained
    assert results['teacher']['parameters'] > 2 * results['student']['parameters']
    assert results['student']['parameters'] == results['student + KD']['parameters']
    assert 'student + KD against student: box AP +0.0, mask AP +0.0' in shown and 'What next?' in shown
    assert len(list((tmp_path / 'pictures').glob('*.png'))) == 16
    page = check_page(tmp_path / 'report.html')
    assert page.count('<img ') >= 16 + 2 and 'student + KD against student' in page and 'iter_1.pth' in page
    assert (tmp_path / 'curves.png').is_file() and 'pictures/' in (tmp_path / 'README.txt').read_text()
    run_demo(tmp_path, max_iters=1)
    assert capsys.readouterr().out.count('done before') == 5
