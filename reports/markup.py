"""A page's main part as HTML that needs no server: without forms, scripts, and links to what is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from html import escape
from html.parser import HTMLParser

# Elements without an end tag.
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
# What a server has to answer, or what leads to another view of the same page.
SERVED = frozenset(
    {"script", "style", "link", "meta", "form", "button", "input", "select", "textarea", "nav", "iframe", "object"}
    | {"img", "template"}
)
REFERENCES = ("id", "for", "headers", "aria-labelledby", "aria-describedby", "aria-controls")
LOADED = ("src", "srcset", "action", "formaction", "poster", "data", "ping", "style")
Attributes = list[tuple[str, str | None]]


class _Main(HTMLParser):
    """Collects the inner HTML of `main`, and the links of the header's `nav`.

    Text and attributes are written as they were read, and escaped anew.
    """

    def __init__(self, dropped: Collection[str], attributes: Callable[[str, Attributes], Attributes]) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.links: list[tuple[str, str]] = []  # address and text
        self._dropped, self._attributes = dropped, attributes
        self._open: list[tuple[str, bool]] = []  # elements, and whether their content is kept

    @property
    def _kept(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def _inside(self, tag: str) -> bool:
        return any(name == tag for name, _ in self._open)

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        """Keep an element, or leave it out with all that is in it."""
        if tag == "a" and self._inside("header") and self._inside("nav"):
            self.links.append((dict(attrs).get("href") or "", ""))
        keeps = self._kept and tag not in self._dropped if self._inside("main") else tag == "main"
        if keeps and tag != "main":
            self.parts.append(_written(tag, self._attributes(tag, attrs)))
        if tag not in VOID:
            self._open.append((tag, keeps))

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        """Keep an element that ends at once, as in SVG."""
        if self._kept and tag not in self._dropped:
            self.parts.append(_written(tag, self._attributes(tag, attrs), "" if tag in VOID else f"</{tag}>"))

    def handle_endtag(self, tag: str) -> None:
        """Close an element, and those in it whose end tag is optional."""
        if not self._inside(tag):
            return
        while self._open:
            name, keeps = self._open.pop()
            if keeps and name != "main":
                self.parts.append(f"</{name}>")
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if self._kept:
            self.parts.append(escape(data, quote=False))
        elif self.links and self._open[-1:] == [("a", False)] and self._inside("nav"):
            address, text = self.links[-1]
            self.links[-1] = (address, f"{text}{data}".strip())


def _written(tag: str, attrs: Attributes, after: str = "") -> str:
    values = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in attrs)
    return f"<{tag}{values}>{after}"


def navigation(html: str) -> list[tuple[str, str]]:
    """The address and the name of each page in a page's header."""
    read = _Main((), lambda _, attrs: attrs)
    read.feed(html)
    return read.links


def standalone(html: str, prefix: str, anchors: dict[str, str]) -> str:
    """The main part, with links only to `anchors`: the anchor of each page by its address.

    Ids begin with `prefix`, so that pages can stand in one document.
    """

    def attributes(tag: str, attrs: Attributes) -> Attributes:
        kept: Attributes = []
        for name, value in attrs:
            if name in REFERENCES and value:
                kept.append((name, " ".join(f"{prefix}{each}" for each in value.split())))
            elif name == "href":
                target = f"#{prefix}{value[1:]}" if value and value.startswith("#") else anchors.get(value or "")
                kept += [(name, target)] if target else []
            elif name not in LOADED and not name.startswith(("on", "data-", "xlink:")):
                kept.append((name, re.sub(r"url\(#", f"url(#{prefix}", value) if value else value))
        return kept

    return _inner(html, SERVED, attributes)


def mailed(html: str) -> str:
    """The main part for mail programs: also without pictures, whose figures stand in tables, and what unfolds."""

    def attributes(tag: str, attrs: Attributes) -> Attributes:
        return [(name, value) for name, value in attrs if name in ("class", "colspan", "rowspan", "scope")]

    return _inner(html, SERVED | {"svg", "figure", "details"}, attributes)


def _inner(html: str, dropped: Collection[str], attributes: Callable[[str, Attributes], Attributes]) -> str:
    read = _Main(dropped, attributes)
    read.feed(html)
    read.close()
    return "".join(read.parts).strip()


def document(title: str, language: str, styles: Iterable[str], head: str, body: str) -> str:
    """A whole document with its styles in it."""
    return (
        f'<!doctype html>\n<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n{head}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        + "".join(f"<style>{each}</style>\n" for each in styles)
        + f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
