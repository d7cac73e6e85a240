"""The published state of recommendations in a form that is independent of item codes and generations."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from analytics.recommendations.tallies import Tallies
from kinds.recommendations import profile_rows, results, rows, state
from kinds.recommendations.ranking import Ranking
from settings import Settings
from store.database import snapshot
from store.published import published
from tests import oracle
from tests.analytics.recommendations.plain import History, Visit
from tests.oracle import Rules
from tests.system import read, run_inline

KIND = "recommendations"


def histories(sold: pd.DataFrame, lines: pd.DataFrame, rules: Rules) -> tuple[dict[str, History], History]:
    """Customers' visits and the guests', as the contract counts them, with item ids instead of codes."""
    places = {daypart[0]: place for place, daypart in enumerate(rules.dayparts or ())}
    items: dict[Any, set[int]] = {}
    for transaction, item, quantity, price in lines[["transaction_id", "item_id", "quantity", "price"]].itertuples(
        index=False
    ):
        pieces, code = oracle._exact(quantity), oracle._whole(item)
        if code is None or code in rules.excluded_items or oracle._exact(price) is None:
            continue
        if pieces is not None and pieces > 0:
            items.setdefault(oracle._whole(transaction), set()).add(code)
    found: dict[str, list[tuple[Any, Any, Visit]]] = {}
    for sale in oracle._in_window(sold, rules, 0)[0]:
        if sale.cents < 1 or not items.get(sale.transaction_id):
            continue
        day = (rules.business_date(sale.at) - pd.Timestamp("2000-01-01").date()).days
        daypart = rules.daypart(sale.at)
        place = len(places) if daypart is None else places[daypart]
        visit = Visit(0, day, place, frozenset(items[sale.transaction_id]))
        found.setdefault(sale.customer or "", []).append((sale.at, sale.transaction_id, visit))
    ordered = {name: [visit for *_, visit in sorted(each, key=lambda row: row[:2])] for name, each in found.items()}
    return {name: each for name, each in ordered.items() if name}, ordered.get("", [])


def compare(url: str, sold: pd.DataFrame, lines: pd.DataFrame, rules: Rules) -> None:
    """Compare the published profiles with the orders: visits, and visits with each item.

    Raises
    ------
    AssertionError
        If they differ.
    """
    known, _ = histories(sold, lines, rules)
    expected = {
        name: (len(history), Counter(item for visit in history for item in visit.items))
        for name, history in known.items()
    }
    with snapshot(url) as session:
        found = published(session, KIND)
        assert found is not None
        codes = state.item_ids(session, found.generation)
        customers = profile_rows.load_profiles(session, found.generation, list(known))
        query = f"SELECT count(*) AS n FROM recommendation_profiles WHERE generation = {found.generation}"
        assert read(url, query).n[0] == len(known)
    profile, actual = customers.profiles, {}
    for number, name in enumerate(customers.mobile_ids):
        mine = slice(profile.starts[number], profile.starts[number + 1])
        counts = dict(zip(codes[profile.items[mine]].tolist(), profile.counts[mine].tolist(), strict=True))
        actual[name] = (int(profile.visits[number]), Counter(counts))
    assert actual == expected


def canonical(settings: Settings) -> dict[str, Any]:
    """Profiles by customer, tallies by item, picks, and everybody's lists in each daypart."""
    with snapshot(settings.database_url) as session:
        found = published(session, KIND)
        assert found is not None
        codes = state.item_ids(session, found.generation)
        query = f"SELECT mobile_id FROM recommendation_profiles WHERE generation = {found.generation}"
        everyone = sorted(read(settings.database_url, query).mobile_id)
        customers = profile_rows.load_profiles(session, found.generation, everyone)
        lists = {}
        for daypart in [*results.dayparts(found), None]:
            made = results.rankings(session, found, [*everyone, "nobody"], daypart, limit=50, mode="personal")
            lists[str(daypart and daypart.daytime_id)] = [_plain(ranking) for ranking in made]
        profile = customers.profiles
        people = {}
        for number, mobile_id in enumerate(customers.mobile_ids):
            mine = slice(profile.starts[number], profile.starts[number + 1])
            cells = slice(profile.cell_starts[number], profile.cell_starts[number + 1])
            of_items = zip(
                codes[profile.items[mine]].tolist(),
                *(c[mine].tolist() for c in (profile.counts, profile.firsts, profile.days, profile.weights)),
                strict=True,
            )
            of_cells = zip(
                [-1 if code < 0 else int(codes[code]) for code in profile.cell_items[cells]],
                profile.cell_dayparts[cells].tolist(),
                profile.cell_counts[cells].tolist(),
                strict=True,
            )
            numbers = (profile.visits, profile.known, profile.hits, customers.segments)
            people[mobile_id] = [[int(c[number]) for c in numbers], sorted(of_items), sorted(of_cells)]
        return {
            "people": people,
            "tallies": _by_item(rows.load_tallies(session, found.generation, rows.ALL), codes),
            "lists": lists,
            "picks": read(settings.database_url, "SELECT * FROM segment_recommendation ORDER BY 1, 2, 4")
            .drop(columns=["run_id", "created_at"])
            .to_dict("records"),
        }


def _plain(ranking: Ranking) -> str:
    shown = [ranking.mobile_id, ranking.method, ranking.items]
    return json.dumps(shown, default=lambda each: getattr(each, "__dict__", str(each)))


def _by_item(tallies: Tallies, codes: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Sums by item id; items without customers are excluded."""
    order = np.argsort(codes)
    some = order[(tallies.buyers[order] > 0)]
    pairs = {
        (min(pair), max(pair)): int(count)
        for key, count in zip(tallies.pairs, tallies.pair_customers, strict=True)
        if (pair := (int(codes[key >> 32]), int(codes[key & 0xFFFFFFFF])))
    }
    sums = {name: getattr(tallies, name).tolist() for name in ("rows", "known", "hits", "novelties", "visits")}
    by_item = {
        name: getattr(tallies, name)[..., some].tolist()
        for name in ("buyers", "again", "chances", "shares", "orders", "customers")
    }
    return {"items": codes[some].tolist(), "pairs": pairs, **sums, **by_item}


def run(settings: Settings, **options: Any) -> str:
    """Run the kind; returns the run's mode."""
    found = run_inline(settings, KIND, **options)
    assert found.run.status == "succeeded", (found.run.error, found.stages)
    return found.run.mode
