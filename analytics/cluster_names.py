"""Names and descriptions of clusters, in fixed phrases: the features in which each differs most from all customers."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.behaviour import THOUSANDTHS, Whole

DESCRIBED = 4  # features in a description
NAMED = 2  # features in a name
LEAST = 250  # thousandths of a standard deviation; smaller differences are not mentioned

# The phrases for more and for less of a feature.
PHRASES = {
    "weekend": ("weekends", "weekdays"),
    "ticket": ("large bills", "small bills"),
    "basket": ("large baskets", "small baskets"),
    "variety": ("something new each time", "the usual"),
    "rhythm": ("irregular visits", "regular visits"),
    "refunds": ("refunds", "no refunds"),
}


def describe(names: Sequence[str], centres: Whole) -> list[tuple[str, str]]:
    """A name and a description per centre, such as "Weekends, large baskets"; no two names are equal."""
    found, seen = [], set()
    for centre in centres:
        order = sorted(range(len(names)), key=lambda place: (-abs(int(centre[place])), names[place]))
        strongest = [place for place in order[:DESCRIBED] if abs(int(centre[place])) >= LEAST]
        phrases = [_phrase(names[place], int(centre[place])) for place in strongest]
        name = ", ".join(phrases[:NAMED]) or "like most"
        number = NAMED
        while name in seen and number < len(phrases):
            number += 1
            name = ", ".join(phrases[:number])
        alike = 1
        while name in seen:
            alike += 1
            name = f"{name.removesuffix(f' ({alike - 1})')} ({alike})"
        seen.add(name)
        strengths = [
            f"{_phrase(names[place], int(centre[place]))} ({abs(int(centre[place])) / THOUSANDTHS:.1f} sd)"
            for place in strongest
        ]
        found.append((name[:1].upper() + name[1:], ", ".join(strengths) or "close to the mean in everything"))
    return found


def _phrase(name: str, value: int) -> str:
    if name in PHRASES:
        return PHRASES[name][value < 0]
    _, _, of = name.partition(":")
    return f"{'more' if value > 0 else 'less'} {of}"
