"""The stages of the demo, with commands that take no time."""

import io
import json
import re
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / 'projects' / 'nuclei_example'
sys.path.insert(0, str(PROJECT))

from nuclei_demo.progress import ProgressLine, Screen  # noqa: E402
from nuclei_demo.report import Result, difference, markdown_table  # noqa: E402
from nuclei_demo.stages import Stage, StageFailed, run_lanes, run_stage  # noqa: E402

WRITE = """
import sys, pathlib
path = pathlib.Path(sys.argv[1])
path.write_text((path.read_text() if path.is_file() else '') + ' '.join(sys.argv[2:]) + '.')
"""


def stage(tmp_path, inputs='a', command=None, **kwargs):
    result = tmp_path / 'run' / 'result'
    command = command or (sys.executable, '-c', WRITE, str(result), 'ran')
    return Stage('demo', command, tmp_path / 'run', 'train', inputs, result, **kwargs)


def test_a_finished_stage_is_used_again(tmp_path, capsys):
    assert run_stage(stage(tmp_path))
    assert not run_stage(stage(tmp_path))
    assert stage(tmp_path).result.read_text() == 'ran.'
    assert 'done before' in capsys.readouterr().out


def test_other_inputs_start_afresh(tmp_path):
    run_stage(stage(tmp_path))
    (tmp_path / 'run' / 'old').touch()
    assert run_stage(stage(tmp_path, inputs='b'))
    assert not (tmp_path / 'run' / 'old').exists()


def test_a_lost_result_is_made_again(tmp_path):
    run_stage(stage(tmp_path))
    stage(tmp_path).result.unlink()
    assert run_stage(stage(tmp_path))


def test_an_interrupted_stage_is_resumed(tmp_path):
    fails = (sys.executable, '-c', 'import sys; print("half way"); sys.exit(3)')
    with pytest.raises(StageFailed, match='exit code 3.*\n.*half way'):
        run_stage(stage(tmp_path, command=fails))
    assert json.loads((tmp_path / 'run' / 'train.json').read_text())['finished'] is False
    assert 'half way' in (tmp_path / 'run' / 'train.log').read_text()
    run_stage(stage(tmp_path, resume=('--resume',)))
    assert stage(tmp_path).result.read_text() == 'ran --resume.'


def test_a_command_without_its_result_failed(tmp_path):
    with pytest.raises(StageFailed, match='is not there'):
        run_stage(stage(tmp_path, command=(sys.executable, '-c', '')))


LOG = '11/21 13:01 - mmengine - INFO - Iter(train) [ {:>2}/40]  eta: 0:01:10  time: 1.1  loss: 1.6940  loss_cls: 0'


class Terminal(io.StringIO):
    """A terminal of lines: understands what moves the cursor up and clears what is below it."""

    def isatty(self):
        return True

    def lines(self):
        shown = []
        for part in re.split(r'(\x1b\[\d+A\x1b\[J)', self.getvalue()):
            if up := re.match(r'\x1b\[(\d+)A', part):
                shown = shown[: -int(up[1])]
            else:
                shown += part.splitlines()
        return shown


def test_in_a_terminal_each_lane_has_a_line_that_moves_and_what_is_done_stays():
    terminal = Terminal()
    screen = Screen(2, terminal)
    alone, taught = ProgressLine('alone', screen, 0), ProgressLine('taught', screen, 1)
    alone.show('noise')
    alone.show(LOG.format(10))
    taught.show(LOG.format(4))
    assert terminal.lines() == [
        'alone: [#####               ] 10/40  loss 1.6940  eta 0:01:10',
        'taught: [##                  ] 4/40  loss 1.6940  eta 0:01:10',
    ]
    alone.close()
    assert terminal.lines() == ['alone: 0 s', 'taught: [##                  ] 4/40  loss 1.6940  eta 0:01:10']
    ProgressLine('testing', screen, 0).show(LOG.format(40))
    assert [line.split(':')[0] for line in terminal.lines()] == ['alone', 'testing', 'taught']


def test_progress_is_a_line_for_each_tenth_in_a_file():
    stream = io.StringIO()
    line = ProgressLine('demo', Screen(1, stream))
    for i in range(1, 41):
        line.show(LOG.format(i))
    lines = stream.getvalue().splitlines()
    assert [text.split('] ')[1].split('/')[0] for text in lines[1:]] == ['1', *map(str, range(4, 41, 4))]


MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
end = time.monotonic() + 20
while not other.exists():
    assert time.monotonic() < end, 'the other did not run beside this one'
    time.sleep(0.02)
"""


def lane(folder, name, *arguments, script=MEET):
    return Stage(name, (sys.executable, '-c', script, *map(str, arguments)), folder / name, 'train', name, arguments[0])


def test_lanes_run_side_by_side(tmp_path):
    a, b = tmp_path / 'a.done', tmp_path / 'b.done'
    run_lanes([[lane(tmp_path, 'a', a, b)], [lane(tmp_path, 'b', b, a)]], jobs=2)
    assert a.exists() and b.exists()


def test_with_one_core_lanes_run_one_after_the_other(tmp_path):
    a, b = tmp_path / 'a.done', tmp_path / 'b.done'
    run_lanes([[lane(tmp_path, 'a', a, script=WRITE)], [lane(tmp_path, 'b', b, a)]], jobs=1)
    assert a.exists() and b.exists()


def test_a_lane_that_fails_ends_the_others(tmp_path):
    fails = lane(tmp_path, 'fails', tmp_path / 'never', script='raise SystemExit("what went wrong")')
    waits = lane(tmp_path, 'waits', tmp_path / 'a', script='import time; time.sleep(60)')
    start = time.monotonic()
    with pytest.raises(StageFailed, match='fails: exit code 1.*\n.*what went wrong'):
        run_lanes([[fails], [waits, lane(tmp_path, 'after', tmp_path / 'b', script=WRITE)]], jobs=2)
    assert time.monotonic() - start < 30
    assert not (tmp_path / 'after').exists()


def test_the_table_has_one_line_a_model():
    results = [
        Result('teacher', 30.04, 29.0, 60.0, 59.0, 28_000_000, 310.4),
        Result('student + KD', 25.0, 24.0, 55.0, 54.0, 3_100_000, 99.6),
    ]
    lines = markdown_table(results).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].split('|')[1:-1]] == [
        'teacher',
        '30.0',
        '29.0',
        '60.0',
        '59.0',
        '28.0 M',
        '310',
    ]


def test_the_difference_is_that_of_the_student_with_its_teacher():
    alone, taught = Result('student', 20.0, 18.0, 0, 0, 1, 1.0), Result('student + KD', 19.5, 21.25, 0, 0, 1, 1.0)
    assert difference(alone, taught) == 'student + KD against student: box AP -0.5, mask AP +3.2'
