"""The ``mmkd`` command of the wheel, far from any checkout."""

import pytest
from helpers.pages import ROOT

from mmkd.apis.cli import COMMANDS


@pytest.fixture
def mmkd(installed, tmp_path):
    """Runs the console command with arguments in an empty folder."""
    return lambda *arguments: installed.server.run([installed.site / 'bin/mmkd', *arguments], tmp_path)


@pytest.mark.slow
def test_the_wheel_brings_a_command_that_lists_its_subcommands(mmkd):
    done = mmkd('--help')
    assert done.code == 0
    assert all(f'  {name} ' in done.output for name in COMMANDS)


@pytest.mark.slow
def test_a_config_of_the_wheel_is_found_by_name_and_its_options_are_read(mmkd):
    options = ('--cfg-options', 'data_root=nowhere/', 'model.teacher.ckpt=no.pth')
    done = mmkd('train', 'mmkd::kd/centermask_v19_from_v99.py', *options)
    assert done.code == 2 and 'Traceback' not in done.output
    assert "data_root: 'nowhere/'" in done.output and 'no.pth' in done.output


@pytest.mark.slow
def test_a_teacher_and_its_student_are_trained_and_the_student_is_tested_alone(mmkd, tmp_path):
    runs = ROOT / 'tests/tools'
    succeeds(mmkd('train', runs / 'tiny_fcos.py', '--work-dir', 'teacher'))
    teacher = max(tmp_path.glob('teacher/iter_[0-9].pth'))
    kd = runs / 'tiny_fcos_kd.py'
    succeeds(mmkd('train', kd, '--work-dir', 'student', '--cfg-options', f'model.teacher.ckpt={teacher}'))
    student = max(tmp_path.glob('student/*_student.pth'))
    succeeds(mmkd('test', kd, student, '--out', 'predictions.pkl'))
    assert (tmp_path / 'predictions.pkl').is_file()


def succeeds(done):
    assert done.code == 0, done.output[-3000:]
