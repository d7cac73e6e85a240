"""Charts as inline SVG.

Positions and lengths are percentages and texts keep their size, so that a chart is readable on a phone as well.
Colours are classes (`c0`, the palest, to `c6`), for which the style sheet has light, dark and printed values. The table
under a chart has the same data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from markupsafe import Markup, escape

from webhook.pages import treemap

SHADES = 7
WIDTH, HEIGHT = 720, 340  # for which a treemap is laid out
# How wide it is at least on phones, tablets and desktops, at the same height, and the classes that are hidden below.
SCREENS = {300: "", 560: "optional", 900: "spacious"}


@dataclass(frozen=True)
class Tile:
    """A rectangle of a treemap: its name, area, colour value, hover text and link."""

    name: str
    note: str
    size: float
    value: float
    title: str
    link: str


@dataclass(frozen=True)
class Cell:
    """A square of a heat map: its text, colour value, hover text and link."""

    text: str
    value: float
    title: str
    link: str | None = None


def shade(value: float, values: Sequence[float]) -> int:
    """The colour of a value among others, 0 to 6, by its rank among the distinct values."""
    different = sorted(set(values))
    if len(different) < 2:
        return SHADES // 2
    return round(different.index(value) * (SHADES - 1) / (len(different) - 1))


def linear_shade(value: float, highest: float) -> int:
    """The colour of a value between 0 and the highest; only 0 has colour 0."""
    return 0 if value <= 0 or highest <= 0 else min(SHADES - 1, 1 + int((SHADES - 1) * value / highest))


def treemap_of(tiles: Sequence[Tile], label: str) -> Markup:
    """A treemap: areas by size, colours by value; each rectangle a link."""
    shown = sorted((tile for tile in tiles if tile.size > 0), key=lambda tile: (-tile.size, tile.name))
    if not shown:
        return Markup()
    boxes = treemap.layout([tile.size for tile in shown], WIDTH, HEIGHT)
    values = [tile.value for tile in shown]
    parts = [_tile(tile, box, shade(tile.value, values)) for tile, box in zip(shown, boxes, strict=True)]
    return picture("treemap tall", label, parts)


def _tile(tile: Tile, box: treemap.Box, colour: int) -> Markup:
    x, y, width, height = (percent(100 * part) for part in _fractions(box))
    shown = _fitting(tile, box)
    text = "".join(
        f'<text x="8" y="{20 + 18 * place}" class="{kind}">{escape(line)}</text>'
        for place, (line, kind) in enumerate(shown)
    )
    return Markup(  # noqa: S704  # its texts are escaped
        f'<a href="{escape(tile.link)}" class="c{colour}"><title>{escape(tile.title)}</title>'
        f'<svg x="{x}" y="{y}" width="{width}" height="{height}"><rect width="100%" height="100%"/>{text}</svg></a>'
    )


def _fitting(tile: Tile, box: treemap.Box) -> list[tuple[str, str]]:
    """The lines of a tile's name and note that fit, with their classes: narrow screens hide what is too long there."""
    share, high = box.width / WIDTH, int((box.height - 10) // 18)
    for screen, lines in product(SCREENS, (1, 2)):
        name = _broken(tile.name, lines)
        if len(name) <= high and all(_long(line) <= share * screen for line in name):
            break
    else:
        return []
    found = [(line, f"name {SCREENS[screen]}".strip()) for line in name]
    kinds = [kind for wide, kind in SCREENS.items() if wide >= screen and _long(tile.note) <= share * wide]
    return [*found, (tile.note, kinds[0])] if kinds and len(name) < high else found


def _broken(name: str, lines: int) -> list[str]:
    """A name in one line, or its words in two of similar lengths."""
    words = name.split()
    if lines == 1 or len(words) < 2:
        return [name]
    cuts = [[" ".join(words[:cut]), " ".join(words[cut:])] for cut in range(1, len(words))]
    return min(cuts, key=lambda each: max(map(len, each)))


def _long(text: str) -> float:
    """The pixels that a tile's text needs, with its margins."""
    return 8 * len(text) + 14


def _fractions(box: treemap.Box) -> tuple[float, float, float, float]:
    return box.x / WIDTH, box.y / HEIGHT, box.width / WIDTH, box.height / HEIGHT


def heat_map(
    rows: Sequence[tuple[str, Sequence[Cell]]],
    columns: Sequence[str],
    label: str,
    *,
    left: float = 12,
    below: float = 10,
    kind: str = "heat tall",
) -> Markup:
    """A grid with row and column names; colours by the cells' values; `left` and `below` are the names' per cent."""
    highest = max((cell.value for _, cells in rows for cell in cells), default=0)
    wide, high = (100 - left) / max(len(columns), 1), (100 - below) / max(len(rows), 1)
    size = f'width="{percent(wide)}" height="{percent(high)}"'
    xs = [percent(left + place * wide) for place in range(len(columns))]
    parts = []
    for line, (name, cells) in enumerate(rows):
        parts.append(_text(left / 2, (line + 0.5) * high, name, "axis"))
        y = percent(line * high)
        # A grid has hundreds of squares, for which Markup's methods take half of a page's time.
        for x, cell in zip(xs, cells, strict=False):
            begin, end = (f'<a href="{escape(cell.link)}">', "</a>") if cell.link else ("<g>", "</g>")
            square = (
                f'{begin}<title>{escape(cell.title)}</title><svg x="{x}" y="{y}" {size}'
                f' class="c{linear_shade(cell.value, highest)}"><rect width="100%" height="100%"/>'
                f'<text x="50%" y="50%" class="middle">{escape(cell.text)}</text></svg>{end}'
            )
            parts.append(Markup(square))  # noqa: S704  # its texts are escaped
    parts += [
        _text(left + (place + 0.5) * wide, 100 - below * (0.5 if below <= 10 else 0.75), name, "column")
        for place, name in enumerate(columns)
    ]
    return picture(kind, label, parts)


def bar(fraction: float, title: str) -> Markup:
    """A bar whose length is this fraction of the width."""
    return Markup(
        '<svg class="bar" aria-hidden="true"><title>{}</title><rect width="100%" height="100%" class="rest"/>'
        '<rect width="{}" height="100%"/></svg>'
    ).format(title, percent(100 * min(max(fraction, 0), 1)))


def score_strip(score: int, bounds: Sequence[str], label: str) -> Markup:
    """Five boxes with the scores, the customer's one filled, and the four cut points between them."""
    parts = [
        Markup(
            '<svg x="{x}" y="0" width="20%" height="34"><rect width="100%" height="100%" class="{kind}"/>'
            '<text x="50%" y="50%" class="middle {kind}">{score}</text></svg>'
        ).format(x=percent(20 * place), kind="chosen" if place + 1 == score else "other", score=place + 1)
        for place in range(5)
    ]
    for place, bound in enumerate(bounds):
        parts.append(Markup('<text x="{}" y="50" class="axis">{}</text>').format(percent(20 * (place + 1)), bound))
    return picture("strip", label, parts)


def group(inner: Markup) -> Markup:
    """A group of elements, which may begin with a hover text."""
    return Markup("<g>") + inner + Markup("</g>")


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    """A name; of a column the words below each other, so that names do not overlap."""
    inner: str = escape(text)
    if kind == "column" and " " in text:
        inner = " ".join(
            f'<tspan x="{percent(x)}" dy="{"1.15em" if place else "0"}">{escape(word)}</tspan>'
            for place, word in enumerate(text.split())
        )
    return Markup(f'<text x="{percent(x)}" y="{percent(y)}" class="axis">{inner}</text>')  # noqa: S704  # escaped


def picture(kind: str, label: str, parts: Sequence[Markup]) -> Markup:
    """A chart of these parts, by the class that has its height."""
    return Markup('<svg class="picture {}" role="group" aria-label="{}">{}</svg>').format(
        kind, label, Markup().join(parts)
    )


def percent(value: float) -> str:
    """A position or length in per cent."""
    return f"{value:.3f}%"
