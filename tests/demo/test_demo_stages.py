"""The stages of the demo, with commands that take no time."""

import io
import json
import sys

import pytest

from mmkd.demo.report import Result, markdown_table
from mmkd.demo.stages import ProgressLine, Stage, StageFailed, run_stage

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


def test_progress_is_one_line_that_moves_in_a_terminal():
    stream = io.StringIO()
    stream.isatty = lambda: True
    line = ProgressLine('demo', stream)
    line.show('noise')
    line.show(LOG.format(10))
    line.close()
    shown = stream.getvalue().split('\r')[1:]
    assert shown[1] == 'demo: [#####               ] 10/40  loss 1.6940  eta 0:01:10'
    assert len(shown) == 3 and shown[2].endswith('\n')


def test_progress_is_a_line_for_each_tenth_in_a_file():
    stream = io.StringIO()
    line = ProgressLine('demo', stream)
    for i in range(1, 41):
        line.show(LOG.format(i))
    lines = stream.getvalue().splitlines()
    assert [text.split('] ')[1].split('/')[0] for text in lines[1:]] == ['1', *map(str, range(4, 41, 4))]


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
