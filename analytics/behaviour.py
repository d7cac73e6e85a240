"""What kind of eater a customer is, in numbers: shares per daypart and category, ticket, basket, variety, rhythm.

Nothing of how recent, how often or how long: RFM says that. Shares are drawn towards those of all customers by one
visit, so that a customer with few visits is not extreme. A feature is centred by the median, divided by the
interquartile range in units of a standard deviation, cut at three, and kept in whole thousandths: from there on
everything is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

DRAWN = 1.0  # visits, or lines, by which a share is drawn towards that of all
CUT, THOUSANDTHS = 3.0, 1000
NORMAL = 1.349  # the interquartile range of a normal distribution, in standard deviations
TINY = 1e-6
# These say less of what a customer will do, and count half.
HALVED = {"variety": 2.0, "refunds": 2.0, "rhythm": 2.0}
LEAST_SHARE = 0.05  # of all visits, or lines, for a daypart or category to be a feature
MOST_CATEGORIES = 8


@dataclass(frozen=True)
class Counts:
    """What customers' visits come to, a row each, all whole numbers.

    Parameters
    ----------
    visits, refunds, cents
        Purchases, refunds, and the purchases' cents.
    weekend
        Purchases on Saturdays and Sundays, by business date.
    dayparts, categories
        Purchases per daypart, and lines per category, a column each.
    lines, units, items
        Lines of purchases, their pieces (or thousandths), and different items.
    gaps, gap_days, gap_squares
        Gaps between days with a purchase: how many, their days, and the squares of these.
    """

    visits: Whole
    refunds: Whole
    cents: Whole
    weekend: Whole
    dayparts: Whole
    categories: Whole
    lines: Whole
    units: Whole
    items: Whole
    gaps: Whole
    gap_days: Whole
    gap_squares: Whole


@dataclass(frozen=True)
class Scale:
    """The features that a model has, by name, with what turns counts into them.

    `shares` are those of all customers, `middle` and `spread` each feature's median and standard deviation.
    """

    names: tuple[str, ...]
    shares: Mapping[str, float]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Scale:
        """From what `stored` gives."""
        return cls(tuple(stored["names"]), dict(stored["shares"]), tuple(stored["middle"]), tuple(stored["spread"]))

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "shares": dict(self.shares),
            "middle": list(self.middle),
            "spread": list(self.spread),
        }


def fit_scale(counts: Counts, dayparts: Sequence[str], categories: Sequence[str]) -> Scale:
    """The features that tell these customers apart, and their scale; `dayparts` and `categories` name columns."""
    shares = _population(counts, dayparts, categories)
    kept = [name for name, share in shares.items() if share >= LEAST_SHARE or ":" not in name]
    often = sorted((name for name in kept if name.startswith("category:")), key=lambda name: (-shares[name], name))
    kept = [name for name in kept if not name.startswith("category:") or name in often[:MOST_CATEGORIES]]
    names = [*kept, "ticket", "basket", "rhythm"]
    values = _raw(counts, names, shares, dayparts, categories)
    found = []
    for name, column in zip(names, values.T, strict=True):
        known = column[~np.isnan(column)]
        if len(known):
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
            spread = float(high - low) / NORMAL
            spread = spread if spread > TINY else float(known.std())
            if spread > TINY:
                found.append((name, round(float(middle), 9), round(spread * HALVED.get(name, 1.0), 9)))
    return Scale(
        tuple(name for name, _, _ in found),
        shares,
        tuple(middle for _, middle, _ in found),
        tuple(spread for _, _, spread in found),
    )


def features(counts: Counts, scale: Scale, dayparts: Sequence[str], categories: Sequence[str]) -> Whole:
    """Each customer's features in thousandths, -3000 to 3000; what a customer has nothing to say of is 0."""
    values = _raw(counts, scale.names, scale.shares, dayparts, categories)
    z = (values - np.array(scale.middle)) / np.array(scale.spread)
    z = np.where(np.isnan(z), 0.0, np.clip(z, -CUT, CUT))
    return np.rint(np.round(z * THOUSANDTHS, 6)).astype(np.int64)


def _population(counts: Counts, dayparts: Sequence[str], categories: Sequence[str]) -> dict[str, float]:
    """All customers' shares."""

    def share(part: Whole, whole: Whole) -> float:
        return round(int(part.sum()) / max(1, int(whole.sum())), 9)

    found = {f"daypart:{name}": share(counts.dayparts[:, place], counts.visits) for place, name in enumerate(dayparts)}
    found |= {
        f"category:{name}": share(counts.categories[:, place], counts.lines) for place, name in enumerate(categories)
    }
    return found | {
        "weekend": share(counts.weekend, counts.visits),
        "variety": share(counts.items, counts.lines),
        "refunds": share(counts.refunds, counts.visits),
    }


def _raw(
    counts: Counts,
    names: Sequence[str],
    shares: Mapping[str, float],
    dayparts: Sequence[str],
    categories: Sequence[str],
) -> Floats:
    """The features before scaling, a column each; NaN where a customer has nothing to say."""
    places = {f"daypart:{name}": counts.dayparts[:, place] for place, name in enumerate(dayparts)}
    lines = {f"category:{name}": counts.categories[:, place] for place, name in enumerate(categories)}
    nothing = np.zeros(len(counts.visits), dtype=np.int64)
    visits, items = counts.visits.astype(np.float64), counts.lines.astype(np.float64)

    def drawn(part: Whole, whole: Floats, name: str) -> Floats:
        return (part + DRAWN * shares.get(name, 0.0)) / (whole + DRAWN)

    with np.errstate(divide="ignore", invalid="ignore"):
        mean = counts.gap_days / counts.gaps
        variance = counts.gap_squares / counts.gaps - mean * mean
        others: dict[str, Callable[[], Floats]] = {
            "weekend": lambda: drawn(counts.weekend, visits, "weekend"),
            "variety": lambda: drawn(counts.items, items, "variety"),
            "refunds": lambda: drawn(counts.refunds, visits, "refunds"),
            "ticket": lambda: np.where(counts.cents > 0, np.log(counts.cents / visits), np.nan),
            "basket": lambda: np.where(counts.units > 0, np.log(counts.units / visits), np.nan),
            "rhythm": lambda: np.where(counts.gaps >= 2, np.sqrt(np.maximum(variance, 0)) / mean, np.nan),
        }
        columns = []
        for name in names:
            if name.startswith("daypart:"):
                columns.append(drawn(places.get(name, nothing), visits, name))
            elif name.startswith("category:"):
                columns.append(drawn(lines.get(name, nothing), items, name))
            else:
                columns.append(others[name]())
        return np.stack(columns, axis=1) if columns else np.empty((len(counts.visits), 0))
