"""The config that a checkpoint carries is read, and never run."""

import pytest
from mmengine.config import Config

from mmkd.apis.inference.literal_config import literal_config
from mmkd.utils.errors import UserError


def test_what_mmengine_writes_is_read():
    cfg = Config(
        dict(
            model=dict(type='FCOS', ranges=((-1, 64), (64, 1e8)), norm=None, bias=-2.5, **{'not a name': [1, 'x"y']}),
            train_cfg=dict(by_epoch=True, milestones=[8, 11], limits={1: (2,), 'a': {}}),
            data_root='data/coco/',
            largest=float('inf'),
        )
    )
    given = literal_config(cfg.pretty_text)
    assert given.to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "x = __import__('os').system('true')",
        'x = open("f")',
        'model = dict(**other)',
        'x = [i for i in range(3)]',
        'a.b = 1',
        'a, b = 1, 2',
        'x = (',
        'x = lambda: 1',
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match=r'one\.pth: the config in it cannot be read without running it'):
        literal_config(text, 'one.pth')
