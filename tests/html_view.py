"""What a browser would see of a page."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data.strip())

    @property
    def text(self) -> str:
        """All texts, one space between words."""
        return re.sub(r"[ \n]+", " ", " ".join(filter(None, self.texts)))
