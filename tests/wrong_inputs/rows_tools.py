"""The other tools: converters, pictures."""

from __future__ import annotations

import torch
from helpers.foreign_files import save_malicious

from .files import bytes_of, text
from .row import Row

ESPNET = 'mmkd::espnet/espnet-c_40k_camvid-480x360.py'
CONVERT = f'convert x.pth out.pth --from espnet --config {ESPNET}'

TOOLS = [
    Row('a converter: no file', CONVERT, r'x.pth.* does not exist'),
    Row('a converter: an empty file', CONVERT, r'x.pth is empty', bytes_of('x.pth', b'')),
    Row('a converter: text', CONVERT, r'x.pth is no PyTorch file', text('x.pth', 'weights')),
    Row(
        'a converter: another network',
        CONVERT,
        r'x.pth.*(not|no )',
        lambda folder: torch.save({'a.weight': torch.zeros(1)}, folder / 'x.pth'),
    ),
    Row(
        'a converter: a malicious file',
        CONVERT,
        r'x.pth.*could run code',
        lambda folder: save_malicious(folder / 'x.pth', folder / 'code_ran'),
    ),
    Row('a converter: no config', CONVERT.replace(ESPNET, 'no.py'), r"config: 'no.py' is not a file"),
    Row('a converter: no such format', CONVERT.replace('espnet --', 'esp --'), "--from: 'esp' is no format"),
    Row('a converter: an option of another format', f'{CONVERT} --plain-norm', '--plain-norm: --from espnet has no'),
    Row('VOC to COCO: no folder', 'dataset/voc_sbd_to_coco nowhere out', r'nowhere'),
    Row('curves: no work dir', 'visualize/curves nowhere --out a.png', r"work_dirs: 'nowhere' does not exist"),
    Row('curves: a work dir without a log', 'visualize/curves data --out a.png', r'data'),
    Row(
        'curves: names that are too few',
        'visualize/curves data data/train --names a --out a.png',
        r'--names: 2 work dirs',
    ),
    Row('point masks: no config', 'visualize/point_masks no.py x.pth --out pictures', r"config: 'no.py' is not a file"),
    Row(
        'point masks: a syntax error',
        'visualize/point_masks c.py x.pth --out pictures',
        r"config c.py: '\(' was never closed",
        text('c.py', 'a = (\n'),
    ),
    Row('point masks: another model', 'visualize/point_masks DET CKPT --out pictures', r'PointCenterMask'),
    Row(
        'comparing: no checkpoint',
        'visualize/compare --model a DET no.pth --out pictures',
        r'no.pth.*(not a file|does not exist)',
    ),
    Row(
        'comparing: no data',
        'visualize/compare --model a DET CKPT --out pictures',
        r'data_root',
        lambda folder: __import__('shutil').rmtree(folder / 'data'),
    ),
]
