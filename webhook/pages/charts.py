"""Charts of single values as inline SVG: bars by name, deviations from an average, and points of two values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from webhook.pages.pictures import group, percent, picture

ROW = 28  # height of a bar's row


@dataclass(frozen=True)
class Column:
    """A horizontal bar with its name at the left: its length, the text beside it, hover text and link."""

    name: str
    value: float
    text: str
    title: str
    link: str | None = None


@dataclass(frozen=True)
class Point:
    """A point of a scatter chart: its place, its class, its name, hover text and link."""

    x: float
    y: float
    kind: str
    text: str
    title: str
    link: str


@dataclass(frozen=True)
class Deviation:
    """How far something is from an average, to either side, with its name, the text beside it, and its hover text."""

    name: str
    value: float
    text: str
    title: str


def columns(bars: Sequence[Column], label: str) -> Markup:
    """Horizontal bars below each other, the longest over the whole width."""
    top = max((each.value for each in bars), default=0) or 1.0
    parts = []
    for place, each in enumerate(bars):
        inner = Markup(
            '<title>{title}</title><text x="0" y="{text_y}" class="row">{name}</text>'
            '<rect x="38%" y="{y}" width="{width}" height="18" rx="3"/>'
            '<text x="{end}" y="{text_y}" class="row beside">{text}</text>'
        ).format(
            title=each.title,
            name=each.name,
            text=each.text,
            y=ROW * place + 3,
            text_y=ROW * place + 17,
            width=percent(48 * max(each.value, 0) / top),
            end=percent(39 + 48 * max(each.value, 0) / top),
        )
        parts.append(Markup('<a href="{}">{}</a>').format(each.link, inner) if each.link else group(inner))
    return Markup('<svg class="picture columns" height="{}" role="group" aria-label="{}">{}</svg>').format(
        ROW * len(bars), label, Markup().join(parts)
    )


def scatter(points: Sequence[Point], x_limit: float, y_limit: float, names: tuple[str, str], label: str) -> Markup:
    """Points with a line at each limit; each point is a link."""
    if not points:
        return Markup()
    right = max(*(point.x for point in points), x_limit) * 1.12 or 1.0
    low = min(*(point.y for point in points), y_limit, 0.0)
    high = max(*(point.y for point in points), y_limit) * 1.08
    span = high - low or 1.0

    def at(x: float, y: float) -> tuple[str, str]:
        return percent(4 + 94 * x / right), percent(92 - 88 * (y - low) / span)

    x, y = at(x_limit, y_limit)
    parts = [
        Markup('<line x1="{x}" x2="{x}" y1="2%" y2="92%"/><line x1="4%" x2="98%" y1="{y}" y2="{y}"/>').format(x=x, y=y),
        Markup('<text x="98%" y="97%" class="axis last">{} →</text>').format(names[0]),
        Markup('<text x="4%" y="14" class="axis first">↑ {}</text>').format(names[1]),
    ]
    for point, named in zip(points, _apart(points, right, span), strict=True):
        x, y = at(point.x, point.y)
        name = f'<text x="{x}" y="{y}" dx="10" dy="4" class="label">{escape(point.text)}</text>' if named else ""
        # There may be hundreds of points, for which Markup.format takes a third of a page's time.
        link = (
            f'<a href="{escape(point.link)}" class="{escape(point.kind)}"><title>{escape(point.title)}</title>'
            f'<circle cx="{x}" cy="{y}" r="7"/>{name}</a>'
        )
        parts.append(Markup(link))  # noqa: S704  # its texts are escaped
    return picture("scatter", label, parts)


def _apart(points: Sequence[Point], right: float, span: float) -> list[bool]:
    """Whether each point's name fits beside those before, in a chart of usual size; if not, it has a hover text."""
    boxes: list[tuple[float, float, float]] = []  # left and right end, and height, in pixels
    named = []
    for point in points:
        start, height = 1000 * point.x / right, 390 * point.y / span
        end = start + 18 + 7 * len(point.text)
        fits = all(end < left or start - 8 > until or abs(height - at) > 15 for left, until, at in boxes)
        named.append(fits)
        if fits:
            boxes.append((start, end, height))
    return named


def deviations(bars: Sequence[Deviation], top: float, label: str) -> Markup:
    """Horizontal bars from the middle: to the right for more, to the left for less; `top` has the whole length."""
    if not bars:
        return Markup()
    parts = []
    for place, each in enumerate(bars):
        wide = 29 * abs(each.value) / top
        inner = Markup(
            '<title>{title}</title><text x="0" y="{text_y}" class="row">{name}</text>'
            '<rect x="{x}" y="{y}" width="{width}" height="16" rx="2" class="{side}"/>'
            '<text x="{beside}" y="{text_y}" class="row beside {end}">{text}</text>'
        ).format(
            title=each.title,
            name=each.name,
            text=each.text,
            beside="69%" if each.value >= 0 else "71%",  # on the side without the bar
            end="last" if each.value >= 0 else "first",
            text_y=ROW * place + 17,
            x=percent(70 if each.value >= 0 else 70 - wide),
            y=ROW * place + 4,
            width=percent(wide),
            side="more" if each.value >= 0 else "less",
        )
        parts.append(group(inner))
    middle = Markup('<line x1="70%" x2="70%" y1="0" y2="100%"/>')
    return Markup('<svg class="picture columns" height="{}" role="group" aria-label="{}">{}{}</svg>').format(
        ROW * len(bars), label, Markup().join(parts), middle
    )
