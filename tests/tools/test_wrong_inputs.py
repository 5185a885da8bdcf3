"""Each wrong input ends in one line that says what is wrong, exit code 2, and leaves nothing behind."""

import re
import shlex
import socket
from pathlib import Path

import pytest
import torch
from wrong_inputs import ROWS
from wrong_inputs.files import write_data

CONFIGS = Path(__file__).parents[1] / 'wrong_inputs/configs'
NAMES = dict(
    DET='detector', MASK='detector_with_masks', KD='detector_kd', SEG='segmentor', PRETRAINED='detector_pretrained'
)


@pytest.fixture(scope='session')
def good(tmp_path_factory):
    """A whole checkpoint of the tiny detector."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, DefaultScope

    from mmkd.utils import register_all_modules

    register_all_modules()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(CONFIGS / 'detector.py').model)
    path = tmp_path_factory.mktemp('good') / 'good.pth'
    torch.save(dict(meta=dict(epoch=0, iter=1), state_dict=model.state_dict(), optimizer={}), path)
    return path


def files_in(folder: Path) -> set:
    return {path.relative_to(folder) for path in folder.rglob('*')}


@pytest.mark.slow
@pytest.mark.parametrize('row', ROWS, ids=lambda row: row.what)
def test_a_wrong_input_is_one_line_and_leaves_nothing(row, tool, good, tmp_path, monkeypatch):
    write_data(tmp_path)
    (tmp_path / 'good.pth').write_bytes(good.read_bytes())
    words = {'CKPT': 'good.pth', **{name: str(CONFIGS / f'{config}.py') for name, config in NAMES.items()}}
    monkeypatch.setenv('TEACHER_FILE', 'good.pth')
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in (row.environment or {}).items():
            monkeypatch.setenv(name, value.replace('PORT_IN_USE', port))
        if row.make is not None:
            row.make(tmp_path)
        before = files_in(tmp_path)
        name, *args = [words.get(word, word) for word in shlex.split(row.command)]
        done = tool(name, *args)

    said = done.err[-3000:]
    assert done.code == row.code, said
    assert 'Traceback' not in done.err + done.out
    lines = [line for line in done.err.splitlines() if re.match(r'(\w+.py: )?(error|warning): ', line)]
    if row.expected:
        assert any(re.search(row.expected.replace('PORT_IN_USE', port), line) for line in lines), said
    if row.code:
        assert any('error: ' in line for line in lines), said
        assert files_in(tmp_path) == before
