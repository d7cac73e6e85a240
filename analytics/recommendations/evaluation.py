"""Evaluating rankings by recall and normalised discounted cumulative gain on customers' next visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.recommendations.histories import Histories
from analytics.recommendations.model import Model, highest, model, popularity_of
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.profiles import Profiles, profiles
from analytics.recommendations.scoring import popular_scores, score
from analytics.recommendations.tallies import tally

Whole = NDArray[np.int64]
Real = NDArray[np.float64]

AT = 10  # items of a list
CELLS = 300_000  # customers × items scored at a time, so that their arrays fit the processor's cache
GAIN = 1 / np.log2(np.arange(2, 4098))
METHODS = ("personal", "daypart", "global")


@dataclass(frozen=True)
class Outcomes:
    """The outcomes of a method's lists, per customer.

    Parameters
    ----------
    recall, gain
        Hits among the list's items ÷ items of the visit; discounted gain of the list ÷ the visit's highest possible.
    hits, old_hits, sizes
        Per customer the number of hits, of hits that the customer had ordered before, and of items of the visit.
    listed
        The places of all items that are in at least one list.
    """

    recall: Real
    gain: Real
    hits: Whole
    old_hits: Whole
    sizes: Whole
    listed: Whole


def fitted(
    histories: Histories, guests: Histories, parameters: Parameters, *, items: int, dayparts: int, item_ids: Whole
) -> tuple[Model, Profiles]:
    """A model fitted to these histories, and their profiles; guests' visits only count for popularity.

    All items may be recommended.
    """
    made = profiles(histories, parameters)
    found = tally(
        made,
        np.zeros(histories.customers, dtype=np.int64),
        parameters=parameters,
        items=items,
        dayparts=dayparts,
        most_segments=1,
    )
    known, others = (popularity_of(each, items=items, dayparts=dayparts) for each in (histories, guests))
    orders, transactions = known[0] + others[0], known[1] + others[1]
    everything = np.ones(items, dtype=bool)
    fit = model(found, orders, transactions, item_ids=item_ids, available=everything, parameters=parameters)
    return fit, made


def next_visits(histories: Histories, instant: int, until: int) -> NDArray[np.bool_]:
    """The first visit in [instant, until) of each customer with an earlier one."""
    inside = (histories.times >= instant) & (histories.times < until)
    visitors = histories.visitors
    seen = np.bincount(visitors[histories.times < instant], minlength=histories.customers) > 0
    wanted = np.flatnonzero(inside & seen[visitors])
    _, first = np.unique(visitors[wanted], return_index=True)
    found = np.zeros(len(histories.times), dtype=bool)
    found[wanted[first]] = True
    return found


def outcomes(fit: Model, before: Profiles, targets: Histories) -> dict[str, Outcomes]:
    """The outcomes of the methods' lists for customers with these profiles; `targets` has one visit of each."""
    size = len(fit.codes)
    step = max(1, CELLS // max(size, 1))
    found: dict[str, list[Outcomes]] = {method: [] for method in METHODS}
    scores = np.stack([popular_scores(fit, daypart) for daypart in range(len(fit.popularity))])
    popular = highest(scores, min(AT, size))
    target_items, target_lines = fit.places[targets.items], targets.line_visits
    for first in range(0, before.customers, step):
        these = before.between(first, first + step)
        dayparts = targets.dayparts[first : first + step]
        scored = score(fit, these, dayparts)
        wanted = np.zeros((these.customers, size), dtype=bool)
        lines = slice(*targets.lines[[first, first + these.customers]])
        wanted[target_lines[lines] - first, target_items[lines]] = True
        overall = np.broadcast_to(popular[-1], (these.customers, popular.shape[1]))
        lists = {
            "personal": highest(scored.scores, min(AT, size)),
            "daypart": popular[dayparts],
            "global": overall,
        }
        for method, listed in lists.items():
            found[method].append(_of_lists(listed, wanted, scored.bought))
    return {method: _all(each) for method, each in found.items()}


def of_scores(scores: Real, wanted: NDArray[np.bool_], bought: NDArray[np.bool_]) -> Outcomes:
    """The outcomes of lists by these scores; `wanted` are the items of the visits."""
    return _of_lists(highest(scores, min(AT, scores.shape[1])), wanted, bought)


def _of_lists(lists: Whole, wanted: NDArray[np.bool_], bought: NDArray[np.bool_]) -> Outcomes:
    hit = np.take_along_axis(wanted, lists, axis=1)
    sizes = wanted.sum(axis=1)
    ideal = np.cumsum(GAIN)[np.minimum(sizes, len(GAIN)) - 1]
    gain = (hit * GAIN[: lists.shape[1]]).sum(axis=1) / ideal
    old = hit & np.take_along_axis(bought, lists, axis=1)
    return Outcomes(hit.sum(axis=1) / sizes, gain, hit.sum(axis=1), old.sum(axis=1), sizes, np.unique(lists))


def _all(parts: list[Outcomes]) -> Outcomes:
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Outcomes(np.empty(0), np.empty(0), none, none, none, none)
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])}
    return Outcomes(**{**joined, "listed": np.unique(joined["listed"])})


def z_of(differences: Real) -> float:
    """The mean ÷ its standard error; 0 if all values are equal."""
    if len(differences) < 2:
        return 0.0
    deviation = float(differences.std(ddof=1))
    return float(differences.mean() / (deviation / np.sqrt(len(differences)))) if deviation else 0.0
