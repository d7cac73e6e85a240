"""What kind of eater a customer is, in numbers: shares per daypart and category, ticket, basket, variety, rhythm.

Nothing of how recent, how often or how long: RFM says that. Shares are drawn towards those of all customers, so that a
customer with few visits is not extreme: the less customers differ beyond chance, the more (empirical Bayes,
`drawn_by`). The more of a share is chance, the less it counts. A feature is centred by the median, divided by the
interquartile range in units of a standard deviation, cut at three, and kept in whole thousandths: from there on
everything is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

DRAWN = (0.5, 60.0)  # the fewest and most visits, or lines, by which a share is drawn towards that of all
CUT, THOUSANDTHS = 3.0, 1000
NORMAL = 1.349  # the interquartile range of a normal distribution, in standard deviations
TINY = 1e-6
LESS = {"variety": 3.0, "refunds": 3.0, "rhythm": 3.0}  # these say less of what a customer will do, and count a third
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

    `shares` are those of all customers, `drawn` by how many visits or lines each is drawn towards them; `middle` is
    each feature's median, and `spread` the standard deviation, divided by how much the feature counts.
    """

    names: tuple[str, ...]
    shares: Mapping[str, float]
    drawn: Mapping[str, float]
    middle: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Scale:
        """From what `stored` gives."""
        return cls(
            tuple(stored["names"]),
            dict(stored["shares"]),
            dict(stored.get("drawn", {})),
            tuple(stored["middle"]),
            tuple(stored["spread"]),
        )

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "names": list(self.names),
            "shares": dict(self.shares),
            "drawn": dict(self.drawn),
            "middle": list(self.middle),
            "spread": list(self.spread),
        }


def fit_scale(counts: Counts, dayparts: Sequence[str], categories: Sequence[str]) -> Scale:
    """The features that tell these customers apart, and their scale; `dayparts` and `categories` name columns."""
    parts = _parts(counts, dayparts, categories)
    shares = {name: round(int(part.sum()) / max(1, int(whole.sum())), 9) for name, (part, whole) in parts.items()}
    kept = [name for name, share in shares.items() if share >= LEAST_SHARE or ":" not in name]
    often = sorted((name for name in kept if name.startswith("category:")), key=lambda name: (-shares[name], name))
    kept = [name for name in kept if not name.startswith("category:") or name in often[:MOST_CATEGORIES]]
    drawn = {name: drawn_by(*parts[name]) for name in kept if name not in LESS}
    counted = {name: 1 / LESS[name] for name in LESS}
    counted |= {name: _own(parts[name][1], visits) for name, visits in drawn.items()}
    names = [*kept, "ticket", "basket", "rhythm"]
    found = []
    for name, column in zip(names, _raw(counts, names, shares, drawn, parts).T, strict=True):
        known = column[~np.isnan(column)]
        if len(known):
            low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
            spread = float(high - low) / NORMAL
            spread = spread if spread > TINY else float(known.std())
            if spread > TINY:
                found.append((name, round(float(middle), 9), round(spread / counted.get(name, 1.0), 9)))
    return Scale(
        tuple(name for name, _, _ in found),
        shares,
        drawn,
        tuple(middle for _, middle, _ in found),
        tuple(spread for _, _, spread in found),
    )


def drawn_by(part: Whole, whole: Whole) -> float:
    """By how many visits, or lines, customers' shares are drawn towards that of all.

    It is the variance within customers ÷ that between them, estimated by moments for a beta-binomial distribution
    (Kleinman, 1973).
    """
    fewest, most = DRAWN
    known = whole > 0
    own, size = part[known] / np.maximum(whole[known], 1), whole[known].astype(np.float64)
    customers, total = len(size), float(size.sum())
    if customers < 2 or total <= customers:
        return most
    share = float(part[known].sum()) / total
    between = float((size * (own - share) ** 2).sum()) / (customers - 1)
    within = float((size * own * (1 - own)).sum()) / (total - customers)
    apart = (between - within) / ((total - float((size**2).sum()) / total) / (customers - 1))
    return round(float(np.clip(within / apart, fewest, most)), 9) if apart > TINY**2 else most


def _own(whole: Whole, drawn: float) -> float:
    """The mean weight that a drawn share gives to the customer's own visits."""
    known = whole[whole > 0]
    return float((known / (known + drawn)).mean()) if len(known) else 1.0


def features(counts: Counts, scale: Scale, dayparts: Sequence[str], categories: Sequence[str]) -> Whole:
    """Each customer's features in thousandths, -3000 to 3000; what a customer has nothing to say of is 0."""
    values = _raw(counts, scale.names, scale.shares, scale.drawn, _parts(counts, dayparts, categories))
    z = (values - np.array(scale.middle)) / np.array(scale.spread)
    z = np.where(np.isnan(z), 0.0, np.clip(z, -CUT, CUT))
    return np.rint(np.round(z * THOUSANDTHS, 6)).astype(np.int64)


def _parts(counts: Counts, dayparts: Sequence[str], categories: Sequence[str]) -> dict[str, tuple[Whole, Whole]]:
    """What each share is of: the visits in a daypart, of all; the lines of a category, of all; and so on."""

    def column(matrix: Whole, place: int) -> Whole:
        return matrix[:, place] if len(matrix) else np.zeros(0, dtype=np.int64)

    return {
        **{f"daypart:{name}": (column(counts.dayparts, n), counts.visits) for n, name in enumerate(dayparts)},
        **{f"category:{name}": (column(counts.categories, n), counts.lines) for n, name in enumerate(categories)},
        "weekend": (counts.weekend, counts.visits),
        "variety": (counts.items, counts.lines),
        "refunds": (counts.refunds, counts.visits),
    }


def _raw(
    counts: Counts,
    names: Sequence[str],
    shares: Mapping[str, float],
    drawn: Mapping[str, float],
    parts: Mapping[str, tuple[Whole, Whole]],
) -> Floats:
    """The features before scaling, a column each; NaN where a customer has nothing to say."""
    nothing, visits = np.zeros(len(counts.visits), dtype=np.int64), counts.visits.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = counts.gap_days / counts.gaps
        variance = counts.gap_squares / counts.gaps - mean * mean
        others = {
            "ticket": np.where(counts.cents > 0, np.log(counts.cents / visits), np.nan),
            "basket": np.where(counts.units > 0, np.log(counts.units / visits), np.nan),
            "rhythm": np.where(counts.gaps >= 2, np.sqrt(np.maximum(variance, 0)) / mean, np.nan),
        }
    columns = []
    for name in names:
        if name in others:
            columns.append(others[name])
        else:
            (part, whole), by = parts.get(name, (nothing, nothing)), drawn.get(name, 1.0)
            columns.append((part + by * shares.get(name, 0.0)) / (whole + by))
    return np.stack(columns, axis=1) if columns else np.empty((len(counts.visits), 0))
