"""What a user sees and finds when a run ends badly: through the tools, mmkd's and mmdet's own."""

from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / 'tools/train.py'
MMDETS_TRAIN = Path(find_spec('mmdet').origin).parent / '.mim/tools/train.py'

FULL_DISK = """
import errno
from mmengine.fileio import LocalBackend

put = LocalBackend.put

def full(self, data, path):
    if 'iter_2.pth' in str(path):
        put(self, data[:1000], path)
        raise OSError(errno.ENOSPC, 'No space left on device')
    put(self, data, path)

LocalBackend.put = full
"""


@pytest.fixture
def config(tmp_path):
    """A student with a teacher, in whose config there are hooks of its own."""
    path = tmp_path / 'kd.py'
    path.write_text(
        f'_base_ = {str(ROOT / "tests/tools/tiny_fcos_kd.py")!r}\n'
        'model = dict(teacher=dict(ckpt=None, allow_random=True))\n'
        "custom_hooks = [dict(type='EMAHook')]\n"
        'default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))\n'
        'train_cfg = dict(max_iters=3)\n'
    )
    return path


def test_a_loss_that_is_no_number_ends_the_run_in_one_line(server, config, tmp_path):
    options = ['--cfg-options', 'optim_wrapper.optimizer.lr=1e30']
    done = server.run([TRAIN, config, '--work-dir', 'run', *options], tmp_path)
    assert done.code == 1 and 'Traceback' not in done.output, done.output[-3000:]
    assert done.output.splitlines()[-1].startswith('error: iteration ') and 'not finite' in done.output
    assert list((tmp_path / 'run').glob('2*/2*.log'))  # a run that has begun keeps its log


def test_a_full_disk_is_one_line_and_the_run_can_go_on_after_it(server, config, tmp_path):
    (tmp_path / 'full_disk.py').write_text(FULL_DISK)
    full = tmp_path / 'full.py'
    full.write_text(
        f'import sys\nsys.path.append({str(tmp_path)!r})\n'
        f"_base_ = {str(config)!r}\ncustom_imports = dict(imports=['full_disk'])\n"
    )
    done = server.run([TRAIN, full, '--work-dir', 'run'], tmp_path)
    assert done.code == 1 and 'Traceback' not in done.output, done.output[-3000:]
    assert done.output.splitlines()[-1] == (
        f'error: {tmp_path / "run/iter_2.pth"}: No space left on device, it was not written; after that is mended, '
        '--resume continues from the last checkpoint'
    )
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth*')) == ['iter_1.pth', 'iter_1_student.pth']
    done = server.run([TRAIN, config, '--work-dir', 'run', '--resume'], tmp_path)
    assert done.code == 0, done.output[-3000:]
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth*')) == ['iter_3.pth', 'iter_3_student.pth']


def test_mmdets_own_tool_saves_students_checks_losses_and_resumes(server, config, tmp_path):
    train = [MMDETS_TRAIN, config, '--work-dir', 'run']
    done = server.run([*train, '--cfg-options', 'train_cfg.max_iters=2'], tmp_path)
    assert done.code == 0, done.output[-3000:]
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_2.pth', 'iter_2_student.pth']
    (tmp_path / 'run/last_checkpoint').write_text('iter_1.pth')  # a run that was killed may leave it behind
    done = server.run([*train, '--resume'], tmp_path)
    assert done.code == 0 and 'resumed epoch: 0, iter: 2' in done.output, done.output[-3000:]
    done = server.run([*train, '--cfg-options', 'optim_wrapper.optimizer.lr=1e30'], tmp_path)
    assert done.code == 1 and 'NonFiniteError: iteration ' in done.output, done.output[-3000:]
