"""Reading a JSON file of any size, an element at a time."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

__all__ = ['stream_arrays']

CHUNK = 2**20  # characters
LONGEST_LITERAL = 16  # an error nearer to the end of what was read may only mean that there is more


def stream_arrays(path: str, keys: Collection[str]) -> Iterator[tuple[str, object]]:
    """The elements of some arrays at the top level of a JSON file, in the file's order.

    ``json.load`` needs five times the size of an annotation file, for as long as something refers to it. Here one
    element exists at a time. The elements are parsed by ``json`` itself, so whatever it takes (NaN too) is taken.

    Args:
        path: A file that holds an object, such as COCO's ``{"images": [...], "annotations": [...]}``.
        keys: Those of the arrays that are wanted.

    Yields:
        The key of an array and an element of it; an empty array comes once, with ``[]``.

    Raises:
        ValueError: It is no JSON object, or what stands under one of the keys is no array; says what and where.
    """
    with open(path, encoding='utf-8') as file:
        window = _Window(file)
        first = window.peek()
        if first != '{':
            found = {'[': 'a list', '"': 'a text', '': 'nothing'}.get(first) or repr(window.value())
            raise ValueError(f'it holds {found}, a dict was expected')
        yield from _members(window, keys)
        if window.peek():
            raise window.error('something follows after the end')


def _members(window: _Window, keys: Collection[str]) -> Iterator[tuple[str, object]]:
    for _ in _separated(window, '{', '}'):
        key = window.value()
        window.skip(':')
        if key not in keys:
            window.value()
        elif window.peek() != '[':
            raise ValueError(f'{key!r} was expected to be a list, but it is a {type(window.value()).__name__}')
        else:
            empty = True
            for _ in _separated(window, '[', ']'):
                empty = False
                yield key, window.value()
            if empty:
                yield key, []


def _separated(window: _Window, opening: str, closing: str) -> Iterator[None]:
    """Comes to a halt before each of the members of an object or an array."""
    window.skip(opening)
    if window.peek() != closing:
        yield
        while window.peek() != closing:
            window.skip(',')
            yield
    window.skip(closing)


class _Window:
    """What has been read of a file and not been parsed yet."""

    def __init__(self, file):
        self.file, self.text, self.start, self.done = file, '', 0, 0
        self.decode = json.JSONDecoder().raw_decode

    def more(self) -> bool:
        """Reads on; False at the end of the file. What lies behind is forgotten."""
        chunk = self.file.read(max(CHUNK, len(self.text) - self.start))  # doubling keeps long values linear
        if chunk:
            self.done += self.start
            self.text, self.start = self.text[self.start :] + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is no white space, or '' at the end."""
        while True:
            while self.start < len(self.text):
                if not self.text[self.start].isspace():
                    return self.text[self.start]
                self.start += 1
            if not self.more():
                return ''

    def skip(self, character: str) -> None:
        if self.peek() != character:
            raise self.error(f'{character!r} was expected')
        self.start += 1

    def value(self) -> object:
        """Parses the next value."""
        self.peek()
        while True:
            try:
                value, end = self.decode(self.text, self.start)
            except json.JSONDecodeError as error:
                unterminated = error.msg.startswith('Unterminated')
                if (unterminated or error.pos >= len(self.text) - LONGEST_LITERAL) and self.more():
                    continue
                raise self.error(error.msg, len(self.text) if unterminated else error.pos) from None
            number = isinstance(value, (int, float))
            if number and end >= len(self.text) - LONGEST_LITERAL and self.more():
                continue  # it may go on
            self.start = end
            return value

    def error(self, what: str, position: int | None = None) -> ValueError:
        position = self.start if position is None else position
        if position >= len(self.text):
            return ValueError(f'not valid JSON: it ends in the middle, after {self.done + len(self.text)} characters')
        return ValueError(f'not valid JSON: {what} at character {self.done + position}')
