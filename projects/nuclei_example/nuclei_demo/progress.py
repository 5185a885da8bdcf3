"""How far the commands of the demo are, on a line each."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from typing import TextIO

__all__ = ['ProgressLine', 'Screen']

PROGRESS = re.compile(r'Iter\((train|val|test)\) +\[ *(\d+)/(\d+)\](.*)')


class Screen:
    """Some lines that move, below those that stay. Where nothing can move (a file), every text is a line that stays.

    Args:
        lines: How many move.
        stream: Where they are written; default the standard output.
    """

    def __init__(self, lines: int = 1, stream: TextIO | None = None):
        self.stream = stream or sys.stdout
        self.moves = self.stream.isatty()
        self._moving = [''] * lines
        self._shown = 0  # moving lines on the terminal
        self._lock = threading.Lock()

    def move(self, number: int, text: str) -> None:
        """Replaces a moving line."""
        with self._lock:
            self._moving[number] = text
            self._draw([] if self.moves else [text])

    def keep(self, text: str, number: int | None = None) -> None:
        """Writes a line that stays, in place of a moving one if there is a number."""
        with self._lock:
            if number is not None:
                self._moving[number] = ''
            self._draw([text])

    def _draw(self, staying: list[str]) -> None:
        lines = staying
        if self.moves:
            width = shutil.get_terminal_size().columns - 1
            moving = [text[:width] for text in self._moving if text]
            # up to the first of the moving lines, and everything below it away
            self.stream.write(f'\x1b[{self._shown}A\x1b[J' if self._shown else '')
            self._shown = len(moving)
            lines = [*staying, *moving]
        self.stream.write(''.join(f'{line}\n' for line in lines))
        self.stream.flush()


class ProgressLine:
    """Condenses mmengine's log to one line that moves; to one line for every tenth where nothing can move."""

    def __init__(self, name: str, screen: Screen, number: int = 0):
        self.name = name
        self.screen = screen
        self.number = number
        self.start = time.monotonic()
        self.shown_tenth = -1
        screen.move(number, f'{name}: starting')

    def show(self, line: str) -> None:
        """Takes in one line of the log."""
        match = PROGRESS.search(line)
        if not match or 'eta' not in match[4]:
            return
        done, total = int(match[2]), int(match[3])
        tenth = 10 * done // total
        if not self.screen.moves and tenth == self.shown_tenth:
            return
        self.shown_tenth = tenth
        bar = '#' * (20 * done // total)
        eta = re.search(r'eta: (\S+)', match[4])
        loss = re.search(r' loss: ([\d.]+)', match[4])
        loss = f'  loss {loss[1]}' if loss else ''
        what = '' if match[1] == 'train' else f'  {match[1]}'
        self.screen.move(self.number, f'{self.name}: [{bar:<20}] {done}/{total}{what}{loss}  eta {eta[1]}')

    def close(self) -> None:
        """Ends the line."""
        self.screen.keep(f'{self.name}: {time.monotonic() - self.start:.0f} s', self.number)
