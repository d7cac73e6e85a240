"""Charts of days as inline SVG: a line of a series' values, and bars of forecasts with their ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from markupsafe import Markup


@dataclass(frozen=True)
class Mark:
    """A day's amount, and its hover text."""

    day: date
    value: float
    title: str


@dataclass(frozen=True)
class Ahead:
    """A day's forecast with its range, the texts below and above it, and its hover text."""

    name: str
    value: float
    low: float
    high: float
    text: str
    title: str
    known: bool = False  # not forecast: it has no range, and another colour


def sparkline(values: Sequence[float | None], label: str) -> Markup:
    """A line through the values from left to right, the last one marked; it is broken where one is not known."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return Markup()
    least, most = min(known), max(known)
    step = 100 / (len(values) - 1)

    def point(place: int, value: float) -> tuple[float, float]:
        return step * place, 28 - 26 * (value - least) / (most - least or 1)

    lines = Markup()
    for is_known, group in groupby(enumerate(values), key=lambda each: each[1] is not None):
        if is_known:
            points = " ".join(
                "{:.2f},{:.2f}".format(*point(place, value)) for place, value in group if value is not None
            )
            lines += Markup('<polyline points="{}"/>').format(points)
    last = max(place for place, value in enumerate(values) if value is not None)
    x, y = point(last, known[-1])
    return Markup(
        '<svg class="spark" role="img" aria-label="{label}"><title>{label}</title>'
        '<svg viewBox="0 0 100 30" preserveAspectRatio="none" width="100%" height="100%">{lines}</svg>'
        '<circle cx="{x:.2f}%" cy="{y:.2f}%" r="3"/></svg>'
    ).format(label=label, lines=lines, x=x, y=100 * y / 30)


def forecast_bars(days: Sequence[Ahead], label: str) -> Markup:
    """A bar per day, with a line from the low to the high end of its range."""
    if not days:
        return Markup()
    top = max(day.high for day in days) or 1.0
    wide = 100 / len(days)
    floor, height = 86.0, 74.0  # per cent of the height: the names are below the floor
    parts = []
    for place, day in enumerate(days):
        middle, bar = (place + 0.5) * wide, height * max(day.value, 0) / top
        low, high = (floor - height * max(end, 0) / top for end in (day.low, day.high))
        parts.append(
            Markup(
                '<g class="{kind}"><title>{title}</title>'
                '<rect x="{x:.2f}%" y="{y:.2f}%" width="{w:.2f}%" height="{h:.2f}%"/>'
                '<line x1="{m:.2f}%" x2="{m:.2f}%" y1="{low:.2f}%" y2="{high:.2f}%"/>'
                '<text x="{m:.2f}%" y="{above:.2f}%" class="axis">{text}</text>'
                '<text x="{m:.2f}%" y="94%" class="axis">{name}</text></g>'
            ).format(
                kind="known" if day.known else "forecast",
                title=day.title,
                x=middle - 0.3 * wide,
                y=floor - bar,
                w=0.6 * wide,
                h=bar,
                m=middle,
                low=low,
                high=high,
                above=max(high - 5, 3),
                text=day.text,
                name=day.name,
            )
        )
    return Markup('<svg class="picture ahead" role="group" aria-label="{}">{}</svg>').format(
        label, Markup().join(parts)
    )


def timeline(marks: Sequence[Mark], last: date, ends: tuple[str, str], label: str) -> Markup:
    """A thin bar per day from the first one to `last`, as high as its amount; `ends` name both ends."""
    first, top = marks[0].day, max(*(mark.value for mark in marks), 0.01)
    span = max((last - first).days, 1)
    bars = Markup().join(
        Markup('<g><title>{title}</title><rect x="{x:.2f}%" y="{y:.2f}%" width="4" height="{h:.2f}%"/></g>').format(
            title=mark.title,
            x=98 * (mark.day - first).days / span,
            y=80 - 78 * max(mark.value, 0) / top,
            h=max(78 * mark.value / top, 1.5),
        )
        for mark in marks
    )
    names = Markup('<text x="0" y="94%" class="axis first">{}</text><text x="100%" y="94%" class="axis last">{}</text>')
    return Markup('<svg class="picture timeline" role="group" aria-label="{}">{}{}</svg>').format(
        label, bars, names.format(*ends)
    )
