"""Saving where there are several processes: one writes and removes, and none waits for one that has died."""

import json
import time
from pathlib import Path

import pytest
from helpers.resumable_runs import differences, state_of

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / 'helpers/train_in_two_processes.py'


def test_only_one_process_writes_and_removes_the_students_of_both(server, tmp_path):
    done = server.run([SCRIPT, 'run', 20, 0], tmp_path)
    assert done.code == 0 and 'Traceback' not in done.output, done.output[-3000:]
    assert json.loads(done.output.splitlines()[-1])['codes'] == [0, 0], done.output[-3000:]
    first, second = (json.loads((tmp_path / f'run/{rank}.json').read_text()) for rank in range(2))
    assert first['remove'] == [f'iter_{i}{end}.pth' for i in range(1, 20) for end in ('', '_student')]
    assert second == dict(remove=[], isfile=[])  # two that look and then remove sometimes both find the file
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth*')) == ['iter_20.pth', 'iter_20_student.pth']


def test_a_process_that_dies_ends_the_run_within_a_minute_and_resumed_it_ends_as_an_unbroken_one(server, tmp_path):
    begin = time.monotonic()
    done = server.run([SCRIPT, 'broken', 9, 5], tmp_path)
    end = json.loads(done.output.splitlines()[-1])
    assert end['codes'] == [1, -9] and end['seconds'] < 60, done.output[-3000:]
    assert time.monotonic() - begin < 200
    assert 'error: another process of the run has ended' in done.output and 'Traceback' not in done.output
    assert (tmp_path / 'broken/last_checkpoint').read_text().endswith(('iter_4.pth', 'iter_5.pth'))

    for work_dir in ('broken', 'whole'):
        done = server.run([SCRIPT, work_dir, 9, 0], tmp_path)
        assert json.loads(done.output.splitlines()[-1])['codes'] == [0, 0], done.output[-3000:]
    broken, whole = (state_of(tmp_path / work_dir / 'iter_9.pth') for work_dir in ('broken', 'whole'))
    assert differences(broken, whole) == []
