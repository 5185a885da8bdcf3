"""Whether a page that was written is well formed and needs nothing beside it."""

from html.parser import HTMLParser

__all__ = ['check_page']

VOID = {'meta', 'img', 'link', 'br'}


class Checked(HTMLParser):
    """Fails on tags that are not closed in order; keeps what a reader would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in ('src', 'href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check_page(path):
    """Whether a page is well formed and holds everything that it shows; returns its text."""
    text = path.read_text()
    checked = Checked()
    checked.feed(text)
    assert not checked.open
    assert all(value.startswith(('data:image/', '#')) for value in checked.fetched)
    return text
