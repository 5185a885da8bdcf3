"""Pages of one file."""

import re

import numpy as np
from helpers.html import check_page
from PIL import Image

from mmkd.visualization.page import Code, Picture, Section, Table, Text, write_page


def test_a_page_holds_its_pictures_and_escapes_its_texts(tmp_path):
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (900, 1800, 3)).astype(np.uint8)
    Image.new('RGB', (30, 20), 'red').save(tmp_path / 'drawing.png')
    write_page(
        tmp_path / 'pages/page.html',
        'a <b> title',
        'lead & more',
        [
            Section('numbers', [Table(('name', 'value'), [('x', '1.5'), ('<y>', '-3%'), ('z', '')]), Text('a < b')]),
            Section('pictures', [Picture(photograph, 'noise'), Picture(tmp_path / 'drawing.png', 'red')]),
            Section('none', []),
            Section('config', [Code('config.py', 'a = "<x>"')]),
        ],
    )
    text = check_page(tmp_path / 'pages/page.html')
    assert 'a &lt;b&gt; title' in text and '<td>&lt;y&gt;</td>' in text and '&#34;&lt;x&gt;&#34;' in text
    assert re.search(r'<td class="number">1.5</td>', text) and 'none' not in re.findall(r'<h2>(.*)</h2>', text)
    kinds = re.findall(r'src="data:(image/\w+);.*? width="(\d+)"', text)
    assert kinds == [('image/jpeg', '1600'), ('image/png', '30')]  # a photograph, a drawing
    assert [path.name for path in (tmp_path / 'pages').iterdir()] == ['page.html']
