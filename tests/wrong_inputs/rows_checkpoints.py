"""Checkpoints that are missing, damaged, of something else, or dangerous; at every place where one is named."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers.foreign_files import save_malicious

from .files import bytes_of, text
from .row import Row

TRAIN = 'train DET --cfg-options load_from=x.pth'
RESUME = 'train DET --resume x.pth'
TEST = 'test DET x.pth'
TEACHER = 'train KD --cfg-options model.teacher.ckpt=x.pth'
BACKBONE = 'train PRETRAINED'


def changed(change):
    """Saves the good checkpoint, changed, as x.pth."""

    def make(folder: Path) -> None:
        checkpoint = torch.load(folder / 'good.pth', weights_only=True)
        result = change(checkpoint)
        torch.save(checkpoint if result is None else result, folder / 'x.pth')

    return make


def of_bytes(change):
    """Changes the bytes of the good checkpoint."""
    return lambda folder: (folder / 'x.pth').write_bytes(change((folder / 'good.pth').read_bytes())) and None


def nan(checkpoint: dict) -> None:
    checkpoint['state_dict']['neck.fpn_convs.0.conv.weight'][0] = float('nan')


def wider(checkpoint: dict) -> None:
    key = 'neck.fpn_convs.0.conv.weight'
    checkpoint['state_dict'][key] = torch.zeros(16, 16, 3, 3)


def flip_a_bit(content: bytes) -> bytes:
    # in the middle of the largest record there are weights, not the archive's own bookkeeping
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def malicious(folder: Path) -> None:
    save_malicious(folder / 'x.pth', folder / 'code_ran', {'conv.weight': torch.zeros(1)})


def folder_instead(folder: Path) -> None:
    (folder / 'x.pth').mkdir()


PLACES = [
    ('load_from', TRAIN, 'load_from'),
    ('--resume', RESUME, '--resume'),
    ('the checkpoint of tools/test.py', TEST, 'x.pth'),
    ('a teacher', TEACHER, 'teacher.ckpt'),
    ('init_cfg', BACKBONE, 'model.backbone.init_cfg.checkpoint'),
]
KINDS = [
    ('missing', None, r"(checkpoint:? )?'?.*x.pth'? (is not a file|does not exist)"),
    ('empty', bytes_of('x.pth', b''), r'x.pth is empty'),
    ('text', text('x.pth', 'weights, I promise'), r'x.pth is no PyTorch file'),
    ('truncated', of_bytes(lambda content: content[: len(content) // 2]), r'x.pth is damaged or cut off'),
    ('with a flipped bit', of_bytes(flip_a_bit), r'x.pth is damaged.*checksum'),
    ('malicious', malicious, r'x.pth.*could run code'),
    ('of nothing but a list', changed(lambda checkpoint: [1, 2]), r'x.pth holds a list, a dict was expected'),
    ('with NaN', changed(nan), r"NaN or infinity.*'neck.fpn_convs.0.conv.weight'"),
]
CHECKPOINTS = [
    Row(
        f'{place}: a checkpoint that is {kind}',
        command,
        f'{re_key}.*{expected}' if re_key != 'x.pth' else expected,
        make,
    )
    for place, command, re_key in PLACES
    for kind, make, expected in KINDS
] + [
    Row('load_from: a folder', TRAIN, r'load_from: .*x.pth.* is (not a file|a folder)', folder_instead),
    Row(
        'load_from: another architecture',
        TRAIN,
        r'load_from: x.pth: none of the \d+ parameters of the model is in the file',
        lambda folder: torch.save(dict(state_dict={'stem.weight': torch.zeros(1)}), folder / 'x.pth'),
    ),
    Row('load_from: wider layers', TRAIN, r'load_from: x.pth: .*shape.*\(16, 16, 3, 3\), expected', changed(wider)),
    Row(
        'test: another architecture',
        TEST,
        r'x.pth: \d+ of \d+ keys are missing, first',
        lambda folder: torch.save(dict(state_dict={'stem.weight': torch.zeros(1)}), folder / 'x.pth'),
    ),
    Row('test: wider layers', TEST, r'x.pth: 1 of \d+ keys have another shape', changed(wider)),
    Row(
        'test: no weights in it',
        TEST,
        r"no parameters found: expected 'state_dict'",
        lambda folder: torch.save(dict(epoch=3), folder / 'x.pth'),
    ),
    Row('a teacher: wider layers', TEACHER, r'teacher.ckpt.*another shape.*Is this a checkpoint', changed(wider)),
    Row(
        'a teacher: layers missing',
        TEACHER,
        r"teacher.ckpt.*keys are missing, first 'backbone.conv1.weight'",
        changed(lambda checkpoint: checkpoint['state_dict'].pop('backbone.conv1.weight') is None or None),
    ),
    Row(
        'a teacher: an empty TEACHER_FILE',
        'train KD',
        r'teacher.ckpt.*empty.*TEACHER_FILE|TEACHER_FILE.*empty|teacher.ckpt.*empty name',
        environment=dict(TEACHER_FILE=''),
    ),
    Row(
        '--resume: weights only', RESUME, r'--resume: x.pth has weights only', changed(lambda c: c.pop('meta') and None)
    ),
    Row('--resume: nothing to resume from', 'train DET --resume --work-dir nowhere', r'', code=0),
]
