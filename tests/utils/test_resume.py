"""Which checkpoint a run goes on from."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from mmkd.utils.resume import find_latest_checkpoint


@pytest.fixture
def run(tmp_path):
    """Writes checkpoints in order of time, each a second after the other; ``torn`` ones lack their second half."""
    work_dir = tmp_path / 'run'
    work_dir.mkdir()

    def write(*names, pointer=None, torn=()):
        for second, name in enumerate(names):
            path = work_dir / name
            torch.save(dict(meta={}, message_hub={}, state_dict=dict(w=torch.arange(1000.0))), path)
            if name in torn:
                path.write_bytes(path.read_bytes()[:2000])
            os.utime(path, (1e9 + second, 1e9 + second))
        if pointer is not None:
            (work_dir / 'last_checkpoint').write_text(str(work_dir / pointer))
        return work_dir

    return write


def found(work_dir):
    path = find_latest_checkpoint(work_dir)
    return path and Path(path).name


def test_the_named_one_is_taken(run):
    assert found(run('iter_1.pth', 'iter_2.pth', pointer='iter_2.pth')) == 'iter_2.pth'


def test_a_run_that_has_saved_nothing_begins_anew(run):
    assert found(run()) is None
    assert found('there/is/none') is None


def test_a_later_one_is_taken_if_the_run_was_killed_before_it_could_point_there(run):
    assert found(run('iter_2.pth', 'iter_3.pth', pointer='iter_2.pth')) == 'iter_3.pth'


def test_a_stale_pointer_to_a_file_that_is_gone_is_no_obstacle(run):
    """Where runs of mmengine's own hook ended when they were killed."""
    assert found(run('iter_3.pth', pointer='iter_2.pth')) == 'iter_3.pth'


@pytest.mark.parametrize('pointer', [None, ''])
def test_without_a_pointer_the_newest_is_taken(run, pointer):
    work_dir = run('iter_9.pth', 'iter_10.pth')
    if pointer is not None:
        (work_dir / 'last_checkpoint').write_text(pointer)
    assert found(work_dir) == 'iter_10.pth'


def test_what_is_torn_is_left_out(run):
    assert found(run('iter_1.pth', 'iter_2.pth', pointer='iter_2.pth', torn=['iter_2.pth'])) == 'iter_1.pth'
    assert found(run('iter_3.pth', torn=['iter_3.pth'])) == 'iter_1.pth'


def test_flipped_bytes_are_noticed(run):
    work_dir = run('iter_1.pth', 'iter_2.pth', pointer='iter_2.pth')
    data = bytearray((work_dir / 'iter_2.pth').read_bytes())
    data[len(data) // 2] ^= 1  # in the numbers, which any reader takes
    (work_dir / 'iter_2.pth').write_bytes(bytes(data))
    assert found(work_dir) == 'iter_1.pth'


def test_best_and_student_files_are_no_states_of_a_run(run):
    names = ('iter_1.pth', 'best_acc_iter_9.pth', 'iter_9_student.pth', 'iter_9.pth.part')
    assert found(run(*names, pointer='iter_1.pth')) == 'iter_1.pth'
    (run() / 'last_checkpoint').unlink()
    assert found(run()) == 'iter_1.pth'


def test_weights_alone_under_a_numbered_name_are_left_out(run):
    work_dir = run('iter_1.pth', pointer='iter_1.pth')
    torch.save(dict(state_dict={}), work_dir / 'iter_5.pth')
    assert found(work_dir) == 'iter_1.pth'


def test_the_rest_of_an_earlier_longer_run_is_not_taken_for_newer(run):
    assert found(run('iter_90.pth', 'iter_1.pth', 'iter_2.pth', pointer='iter_2.pth')) == 'iter_2.pth'


def test_a_folder_that_was_copied_without_its_times_is_resumed_where_it_was(run):
    """The copies are written in any order; then the pointer decides."""
    assert found(run('iter_3.pth', 'iter_1.pth', 'iter_2.pth', pointer='iter_3.pth')) == 'iter_3.pth'


def test_a_folder_that_was_moved_is_resumed(run, tmp_path):
    work_dir = run('iter_1.pth', 'iter_2.pth', pointer='iter_2.pth')
    shutil.move(work_dir, tmp_path / 'elsewhere')
    path = find_latest_checkpoint(tmp_path / 'elsewhere')
    assert path == str(tmp_path / 'elsewhere/iter_2.pth')


def test_a_checkpoint_elsewhere_is_found_by_its_pointer(run, tmp_path):
    work_dir = run('iter_1.pth', pointer='iter_1.pth')
    shutil.move(work_dir / 'iter_1.pth', tmp_path / 'state.pth')
    (work_dir / 'last_checkpoint').write_text(str(tmp_path / 'state.pth'))
    assert found(work_dir) == 'state.pth'
    (work_dir / 'last_checkpoint').write_text('s3://bucket/iter_1.pth')
    assert find_latest_checkpoint(work_dir) == 's3://bucket/iter_1.pth'


def test_if_none_is_whole_the_message_says_what_was_expected(run):
    with pytest.raises(FileNotFoundError, match='last_checkpoint names .*iter_2.pth, which is not there or not whole'):
        find_latest_checkpoint(run(pointer='iter_2.pth'))
    with pytest.raises(FileNotFoundError, match='no other whole checkpoint'):
        find_latest_checkpoint(run('iter_2.pth', pointer='iter_2.pth', torn=['iter_2.pth']))
