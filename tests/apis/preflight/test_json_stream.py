"""Streaming JSON: what json.loads takes is taken, what it refuses is refused, wherever a chunk ends."""

import json
import tracemalloc

import pytest

from mmkd.apis.preflight import json_stream
from mmkd.apis.preflight.json_stream import stream_arrays

CONTENT = {
    'info': {'a': [1, {'b': '}'}]},
    'images': [{'id': i, 'text': 'x"\\ü]' * i} for i in range(12)],
    'number': 12345,
    'annotations': [1.5, -2e-9, 1234567, None, True, [], {}, 'text', [[1, 2]]],
    'categories': [],
}


def read(path, text, keys=('images', 'annotations', 'categories')):
    path.write_text(text, encoding='utf-8')
    return list(stream_arrays(str(path), keys))


@pytest.mark.parametrize('chunk', [1, 2, 3, 7, 50, 10**6])
@pytest.mark.parametrize('layout', [{}, {'indent': 2}, {'ensure_ascii': False, 'separators': (',', ':')}])
def test_every_element_comes_as_json_parses_it(tmp_path, monkeypatch, chunk, layout):
    monkeypatch.setattr(json_stream, 'CHUNK', chunk)
    expected = [('images', e) for e in CONTENT['images']] + [('annotations', e) for e in CONTENT['annotations']]
    assert read(tmp_path / 'a.json', json.dumps(CONTENT, **layout)) == [*expected, ('categories', [])]


@pytest.mark.parametrize('chunk', [3, 10**6])
def test_a_file_that_ends_anywhere_but_at_its_end_is_refused(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(json_stream, 'CHUNK', chunk)
    text = json.dumps(CONTENT)
    for end in range(1, len(text)):
        with pytest.raises(ValueError, match='not valid JSON'):
            read(tmp_path / 'a.json', text[:end])


@pytest.mark.parametrize(
    'text, message',
    [
        ('', 'it holds nothing, a dict was expected'),
        ('[1]', 'it holds a list, a dict was expected'),
        ('{"images": [1,]}', 'not valid JSON: Expecting value at character 14'),
        ('{"images": [1}', "not valid JSON: ',' was expected at character 13"),
        ('{"images": 1,}', "'images' was expected to be a list, but it is a int"),
        ('{"info": tru}', 'not valid JSON: Expecting value at character 9'),
        ('{"info": 1} x', 'not valid JSON: something follows after the end at character 12'),
        ('{"images": ["', 'not valid JSON: it ends in the middle, after 13 characters'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text, message):
    with pytest.raises(ValueError) as caught:
        read(tmp_path / 'a.json', text)
    assert str(caught.value) == message


def test_not_a_number_is_taken_as_json_takes_it(tmp_path):
    values = [value for _, value in read(tmp_path / 'a.json', '{"images": [NaN, -Infinity]}')]
    assert values[0] != values[0] and values[1] == float('-inf')


def test_one_element_is_in_memory_at_a_time(tmp_path):
    polygon = [[round(0.01 * i, 2) for i in range(400)]]
    text = json.dumps(dict(annotations=[dict(id=i, segmentation=polygon) for i in range(4000)]))
    assert len(text) > 8 * 2**20
    (tmp_path / 'a.json').write_text(text)
    tracemalloc.start()
    assert sum(1 for _ in stream_arrays(str(tmp_path / 'a.json'), ['annotations'])) == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 2**20, peak  # json.loads of it takes more than 40 MiB
