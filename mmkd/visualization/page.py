"""Pages of one HTML file that holds its pictures, needs no network, and can be sent to somebody."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from mmkd.utils.files import written_whole

__all__ = ['Code', 'Picture', 'Section', 'Table', 'Text', 'write_page']

WIDEST = 1600  # pixels of a picture
FEW_COLOURS = 4096  # a drawing, which PNG keeps sharp and small; a photograph becomes a JPEG


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = 'text'


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: The names of the columns.
        rows: As many cells in each.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    kind: ClassVar[str] = 'table'

    @property
    def numbers(self) -> set[int]:
        """The columns that hold numbers."""
        return {
            i
            for i in range(len(self.header))
            if self.rows and all(_is_number(row[i]) for row in self.rows if row[i] != '')
        }


@dataclass(frozen=True)
class Code:
    """A text that is folded away, such as a config."""

    title: str
    text: str
    kind: ClassVar[str] = 'code'


class Picture:
    """A picture with its caption.

    Args:
        source: A file, or an (H, W, 3) uint8 RGB array.
        caption: What it shows.
    """

    kind = 'picture'

    def __init__(self, source: str | Path | np.ndarray, caption: str = ''):
        self.caption = caption
        image = Image.fromarray(source) if isinstance(source, np.ndarray) else Image.open(source)
        image = image.convert('RGB')
        if image.width > WIDEST:
            image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.LANCZOS)
        self.width, self.height = image.size
        drawing = image.getcolors(FEW_COLOURS) is not None
        self.mime = 'image/png' if drawing else 'image/jpeg'
        buffer = io.BytesIO()
        image.save(buffer, 'PNG') if drawing else image.save(buffer, 'JPEG', quality=88)
        self.base64 = base64.b64encode(buffer.getvalue()).decode()


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading."""

    title: str
    parts: Sequence[Text | Table | Picture | Code]


def write_page(path: str | Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Writes a page.

    Args:
        path: The file; its folder is made.
        title: Its name.
        lead: A line or two below it.
        sections: What it shows; those without parts are left out.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / 'templates'), autoescape=True, undefined=StrictUndefined
    )
    shown = [section for section in sections if section.parts]
    text = environment.get_template('page.html.jinja').render(title=title, lead=lead, sections=shown)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        part.write_text(text, encoding='utf-8')


def _is_number(cell: str | int) -> bool:
    try:
        float(str(cell).rstrip('%').replace(',', ''))
    except ValueError:
        return False
    return True
