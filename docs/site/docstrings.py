"""Sphinx roles and formulas of docstrings as the Markdown of the site: a griffe extension, named in mkdocs.yml."""

from __future__ import annotations

import re
import textwrap

import griffe

ROLE = re.compile(r':(?:func|class|meth|mod|data|attr|exc):`~?([\w.]+)`')
INLINE = re.compile(r':math:`([^`]+)`')
BLOCK = re.compile(r'^( *)\.\. math:: *(.*(?:\n(?:\1 +.*| *(?=\n\1 +)))*)', re.M)
LITERAL = re.compile(r'(?m)^(?! *>>>)(.*\S)::$')


def markdown_of(text: str) -> str:
    """The Markdown of a docstring.

    Args:
        text: The docstring; Google sections stay as they are.
    """
    text = BLOCK.sub(lambda found: f'{found[1]}$$\n{_lines(found[2], found[1])}\n{found[1]}$$', text)
    text = INLINE.sub(lambda found: f'${found[1]}$', text)
    text = re.sub(r'(?m)^( *)Example:$', r'\1Examples:', text)  # as griffe names that section
    text = LITERAL.sub(r'\1:', text)
    return ROLE.sub(lambda found: f'`{found[1].rsplit(".", 1)[-1]}`', text)


def _lines(formula: str, indent: str) -> str:
    lines = (line.strip() for line in textwrap.dedent(formula).splitlines())
    return '\n'.join(indent + line for line in lines if line)


class Docstrings(griffe.Extension):
    """Applies :func:`markdown_of` to every docstring."""

    def on_instance(self, *, obj: griffe.Object, **kwargs) -> None:
        """Called by griffe for each object it has read."""
        if obj.docstring:
            obj.docstring.value = markdown_of(obj.docstring.value)
