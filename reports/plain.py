"""A page's HTML as plain text: the text part of a mail."""

from __future__ import annotations

import re
from html.parser import HTMLParser

HEADINGS = {"h1": "=", "h2": "-", "h3": ""}
BLOCKS = ("p", "li", "ul", "section", "dl", "div", "table", "summary", *HEADINGS)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._words = ""
        self._rows: list[list[str]] = []
        self._mark = ""  # what the next line begins with

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in BLOCKS:
            self._end_line()
        if tag == "li":
            self._mark = "- "
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._words = ""
        if tag == "br":
            self._words += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._rows[-1].append(" ".join(self._words.split()))
            self._words = ""
        elif tag == "dt":
            self._words = f"{self._words.strip()}: "
        elif tag == "table":
            self.lines += ["", *_aligned(self._rows), ""]
            self._words = ""
        elif tag in HEADINGS:
            self._heading(HEADINGS[tag])
        elif tag in BLOCKS or tag == "dd":
            self._end_line()
            if tag == "li":
                self._mark = ""

    def handle_data(self, data: str) -> None:
        self._words += data

    def _end_line(self) -> None:
        text, self._words = " ".join(self._words.split()), ""
        if text:
            self.lines.append(self._mark + text)
            self._mark = "  " if self._mark else ""

    def _heading(self, underline: str) -> None:
        text, self._words = " ".join(self._words.split()), ""
        if underline:
            self.lines += ["", text, underline * len(text)]
            self._mark = ""
        else:
            self.lines.append(self._mark + text)
            self._mark = "  " if self._mark else ""


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows with cells of equal width: the first column to the left, the others to the right."""
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[place]) for row in rows if place < len(row)), default=0) for place in range(columns)]
    return [
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]


def text_of(html: str) -> str:
    """The text of HTML: headings underlined, lists with dashes, tables in columns."""
    read = _Text()
    read.feed(html)
    read.close()
    read._end_line()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(read.lines)).strip() + "\n"
