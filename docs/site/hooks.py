"""Hooks of the site (mkdocs.yml): what stands in the repository outside of docs/, the command line, and formulas.

The README is the first page. What a page links to outside of docs/ becomes a page below ``repository/``: READMEs as
they are, configs and code as listings, folders as their README or a list of their files.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from latex2mathml.converter import convert as mathml_of
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / 'docs'
LINK = re.compile(r'(\]\()([^)\s#]+)((?:#[^)\s]*)?(?: "[^"]*")?\))')
FENCE = re.compile(r'(^ *```.*?^ *```)', re.M | re.S)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.S)
LANGUAGES = {'.py': 'python', '.yml': 'yaml', '.json': 'json', '.sh': 'bash', '': 'make'}
PICTURES = ('.png', '.jpg', '.jpeg', '.svg')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the README and all that is linked to, from page to page."""
    left, known = [ROOT / 'README.md', *DOCS.rglob('*.md')], set()
    while left:
        path = left.pop()
        if path in known:
            continue
        known.add(path)
        if not _is_doc(path):
            files.append(_file(path, config))
        if path.suffix == '.md':
            left += [target for target in _targets(path) if target.exists()]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links at the pages of the site, and writes the command line where it belongs."""
    source = _source_of(page.file)
    if source is not None:
        here = os.path.dirname(page.file.src_uri)
        markdown = ''.join(
            part if i % 2 else LINK.sub(lambda found: _on_site(found, source, here), part)
            for i, part in enumerate(FENCE.split(markdown))
        )
    return markdown.replace('<!-- commands -->', _commands()) if '<!-- commands -->' in markdown else markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Writes formulas in MathML, which browsers show by themselves."""
    return FORMULA.sub(_formula, html)


def _formula(found: re.Match) -> str:
    return mathml_of(html.unescape(found[3]), display='block' if found[2] == '[' else 'inline')


def _source_of(file: File) -> Path | None:
    """The file in the repository that a page shows."""
    if file.src_uri == 'index.md':
        return ROOT / 'README.md'
    if file.src_uri.startswith('repository/'):
        path = ROOT / file.src_uri.removeprefix('repository/')
        return path if path.suffix == '.md' and path.is_file() else None
    return DOCS / file.src_uri


def _targets(page: Path) -> Iterator[Path]:
    for part in FENCE.split(page.read_text())[::2]:
        for _, link, _ in LINK.findall(part):
            if '://' not in link and not link.startswith('mailto:'):
                yield _shown(Path(os.path.normpath(page.parent / link)))


def _shown(path: Path) -> Path:
    """What is shown of a folder: its README, if it has one."""
    readme = path / 'README.md'
    return readme if readme.is_file() and path != ROOT else path


def _is_doc(path: Path) -> bool:
    """Whether mkdocs has it by itself."""
    return path.is_relative_to(DOCS) and path.is_file()


def _uri(path: Path) -> str:
    """Where a file of the repository stands on the site."""
    if path == ROOT / 'README.md':
        return 'index.md'
    if _is_doc(path):
        return path.relative_to(DOCS).as_posix()
    name = f'repository/{path.relative_to(ROOT).as_posix()}'
    return name if path.suffix in ('.md', *PICTURES) else f'{name}.md'


def _on_site(found: re.Match, source: Path, here: str) -> str:
    if '://' in found[2] or found[2].startswith('mailto:'):
        return found[0]
    target = _shown(Path(os.path.normpath(source.parent / found[2])))
    if not target.exists():
        return found[0]  # mkdocs names it
    return found[1] + os.path.relpath(_uri(target), here or '.') + found[3]


def _file(path: Path, config: MkDocsConfig) -> File:
    if path.suffix in ('.md', *PICTURES):
        return File.generated(config, _uri(path), abs_src_path=str(path))
    return File.generated(config, _uri(path), content=_listing(path))


def _listing(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        inside = (file.relative_to(path).as_posix() for file in sorted(path.rglob('*')) if file.is_file())
        return '\n'.join([f'# {name}', '', *(f'- `{file}`' for file in inside if '__pycache__' not in file)])
    return f'# {name}\n\n````{LANGUAGES.get(path.suffix, "text")}\n{path.read_text()}\n````\n'


@cache
def _commands() -> str:
    """The help of every command."""
    from mmkd.apis import cli

    os.environ['COLUMNS'] = '110'
    parts = [
        f'## mmkd {name}\n\n```text\n{cli.parser_of(name, f"mmkd {name}").format_help()}```\n' for name in cli.COMMANDS
    ]
    return '\n'.join(parts)
