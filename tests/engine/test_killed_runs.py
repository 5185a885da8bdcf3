"""Twenty runs are killed at moments that nobody has chosen, and resumed."""

import random
import time
from pathlib import Path

import pytest
from helpers.resumable_runs import differences, state_of

from mmkd.utils.resume import find_latest_checkpoint

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / 'helpers/train_until_killed.py'
KILLS = 10  # of each kind of run
KILLED = -9


@pytest.mark.parametrize(('by_epoch', 'workers', 'length'), [(False, 0, 16), (True, 2, 5)])
def test_killed_runs_end_as_the_unbroken_one(server, tmp_path, by_epoch, workers, length):
    def train(work_dir, seconds=0):
        done = server.run([SCRIPT, work_dir, by_epoch, workers, length, seconds], tmp_path)
        assert done.code in (0, KILLED), done.output[-3000:]
        return done.code

    last = f'{"epoch" if by_epoch else "iter"}_{length}'
    begin = time.monotonic()
    assert train('whole') == 0
    duration = time.monotonic() - begin
    expected = state_of(tmp_path / f'whole/{last}.pth')
    moments = random.Random(length)
    kills = runs = 0
    while kills < KILLS:
        runs += 1
        work_dir = tmp_path / f'killed_{runs}'
        while train(work_dir.name, moments.uniform(0.2, 1) * duration) == KILLED:
            kills += 1
            assert kills < 4 * KILLS, 'the runs do not get on'
            if any(work_dir.glob('*.pth')):
                assert find_latest_checkpoint(work_dir) is not None
        assert differences(state_of(work_dir / f'{last}.pth'), expected) == []
        assert sorted(path.name for path in work_dir.glob('*.pth*')) == [f'{last}.pth', f'{last}_student.pth']
