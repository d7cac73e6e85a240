"""Names and descriptions of clusters, in fixed phrases: the features in which each differs most from all customers."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.behaviour import THOUSANDTHS, Whole

DESCRIBED = 4  # features in a description
NAMED = 2  # features in a name
LEAST = 250  # thousandths of a standard deviation; smaller differences are not mentioned
CLEAR = 500  # the same, between clusters that are alike in their names' features; smaller ones do not tell them apart
RATHER, VERY = 750, 1500  # the same, below and from which a feature is "rather" and "very" small or large

# The phrases for more and for less of a feature.
PHRASES = {
    "weekend": ("weekends", "weekdays"),
    "ticket": ("large bills", "small bills"),
    "basket": ("large baskets", "small baskets"),
    "variety": ("something new each time", "the usual"),
    "rhythm": ("irregular visits", "regular visits"),
    "refunds": ("refunds", "no refunds"),
}

# How much, before a phrase's first word: rather and very.
DEGREES = dict.fromkeys(("large", "small", "regular", "irregular"), ("rather ", "very "))
DEGREES |= dict.fromkeys(("more", "less"), ("a little ", "much "))


def describe(names: Sequence[str], centres: Whole) -> list[tuple[str, str]]:
    """A name and a description per centre, such as "Weekends, large baskets"; no two names are equal."""
    strongest = [_strongest(names, centre) for centre in centres]
    in_names = [places[:NAMED] for places in strongest]
    phrases = [
        [_phrase(names[place], int(centre[place])) for place in places]
        for centre, places in zip(centres, in_names, strict=True)
    ]
    for twins in _alike(phrases):
        distinct = [_distinguishing(names, centres, number, twins, in_names[number]) for number in twins]
        for number, place in zip(twins, distinct, strict=True):
            if place is not None:
                phrases[number].append(_phrase(names[place], int(centres[number][place])))
    for twins in _alike(phrases):
        for number in twins:
            for at, place in enumerate(in_names[number]):
                phrases[number][at] = _degree(phrases[number][at], abs(int(centres[number][place])))
    found, seen = [], set()
    for number, centre in enumerate(centres):
        base = name = ", ".join(phrases[number]) or "like most"
        again = 1
        while name in seen:
            again += 1
            name = f"{base} ({again})"
        seen.add(name)
        strengths = [
            f"{_phrase(names[place], int(centre[place]))} ({abs(int(centre[place])) / THOUSANDTHS:.1f} sd)"
            for place in strongest[number]
        ]
        found.append((name[:1].upper() + name[1:], ", ".join(strengths) or "close to the mean in everything"))
    return found


def _strongest(names: Sequence[str], centre: Whole) -> list[int]:
    """The features of a description, strongest first."""
    order = sorted(range(len(names)), key=lambda place: (-abs(int(centre[place])), names[place]))
    return [place for place in order[:DESCRIBED] if abs(int(centre[place])) >= LEAST]


def _alike(phrases: Sequence[Sequence[str]]) -> list[list[int]]:
    """The centres with the same phrases, in any order: nobody reads another meaning in that."""
    found: dict[frozenset[str], list[int]] = {}
    for number, each in enumerate(phrases):
        found.setdefault(frozenset(each), []).append(number)
    return [twins for twins in found.values() if len(twins) > 1]


def _distinguishing(
    names: Sequence[str], centres: Whole, number: int, twins: Sequence[int], taken: Sequence[int]
) -> int | None:
    """The feature in which a centre differs most from all others of the same name; None if none differs clearly."""
    found = []
    for place, name in enumerate(names):
        value = int(centres[number][place])
        others = [int(centres[twin][place]) for twin in twins if twin != number]
        alone = all(value * other <= 0 or abs(other) < LEAST for other in others)  # no other has this phrase
        away = min(abs(value - other) for other in others)
        if place not in taken and abs(value) >= LEAST and away >= CLEAR and alone:
            found.append((-away, name, place))
    return min(found)[2] if found else None


def _phrase(name: str, value: int) -> str:
    if name in PHRASES:
        return PHRASES[name][value < 0]
    _, _, of = name.partition(":")
    return f"{'more' if value > 0 else 'less'} {of}"


def _degree(phrase: str, value: int) -> str:
    """The phrase with how much, in thousandths of a standard deviation, if its first word has a degree."""
    rather, very = DEGREES.get(phrase.split()[0], ("", ""))
    return (very if value >= VERY else rather if value < RATHER else "") + phrase
