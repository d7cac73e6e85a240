"""The owner's rules on real orders: results equal the oracle's, and the matrix equals that of pandas."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kinds.menu.matrix import MenuMatrix, menu_matrix
from kinds.menu.results import daypart_ids
from store.database import snapshot
from store.published import published
from tests import oracle
from tests.kinds.test_exactness import settings_for
from tests.oracle import Rules
from tests.system import fill, menu_on, menu_recommendation, rfm_segments, run_inline

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FOLDERS = {
    "counter": Rules(as_of=datetime(2018, 1, 2, tzinfo=UTC), timezone="America/New_York"),
    "online_retail": Rules(as_of=datetime(2011, 12, 10, tzinfo=UTC), timezone="Europe/London"),
}


def loaded(url: str, folder: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The folder's orders, lines and menu, with invented costs; also in the database."""
    if not (DATA / folder).is_dir():
        pytest.skip(f"{DATA / folder} is absent")
    files = (DATA / folder / f"{name}.parquet" for name in ("transactions", "items", "menu"))
    sold, lines, menu = map(pd.read_parquet, files)
    menu = menu[["item_id", "menu_item_name", "category"]].assign(
        cost=[None if item % 17 == 0 else Decimal(int(item) * 37 % 900) / 100 for item in menu.item_id]
    )
    plain = [frame.astype(object).where(frame.notna(), None) for frame in (sold, lines, menu)]
    names = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    fill(url, dict(zip(names, plain, strict=True)))
    return plain[0], plain[1], plain[2]


def costs_of(menu: pd.DataFrame) -> dict[int, Decimal]:
    return {int(item): cost for item, cost in zip(menu.item_id, menu.cost, strict=True) if cost is not None}


def test_the_matrix_of_the_counters_is_what_pandas_works_out(migrated_url: str, tmp_path: Path) -> None:
    sold, lines, menu = loaded(migrated_url, "counter")
    rules = FOLDERS["counter"]
    assert run_inline(settings_for(migrated_url, tmp_path, rules), "menu", as_of=rules.as_of).run.status == "succeeded"
    with snapshot(migrated_url) as session:
        state = published(session, "menu")
        assert state is not None
        found = menu_matrix(session, state, daypart_ids(state))
    counted = lines[lines.transaction_id.isin(sold.transaction_id[sold.total_amount.astype(float) >= 0.005])]
    counted = counted[counted.quantity > 0]
    cents = [oracle.line_cents(*line) for line in zip(counted.quantity, counted.price, strict=True)]
    check_matrix(found, counted.assign(cents=cents), menu)


def check_matrix(found: MenuMatrix, counted: pd.DataFrame, menu: pd.DataFrame) -> None:
    items = counted.groupby("item_id").agg(pieces=("quantity", "sum"), cents=("cents", "sum")).astype("int64")
    cost = menu.set_index("item_id").cost.reindex(items.index)
    known = items[cost.notna()]
    earned = known.cents - (cost[cost.notna()] * 100).astype("int64") * known.pieces
    popular = known.pieces / known.pieces.sum() >= 0.7 / len(known)
    earns = earned / known.pieces >= earned.sum() / known.pieces.sum()
    kinds = np.select([popular & earns, popular, earns], ["star", "plough-horse", "puzzle"], default="dog")
    assert {item.item_id: item.kind for item in found.items if item.kind} == dict(zip(known.index, kinds, strict=True))
    assert {item.item_id for item in found.items if item.kind is None} == set(items.index[cost.isna()])
    assert {item.item_id: (item.quantity, item.revenue * 100) for item in found.items} == {
        item: (pieces, cents) for item, pieces, cents in items.reset_index().to_numpy().tolist()
    }
    assert found.popular_share == pytest.approx(0.7 / len(known))
    assert float(found.average_margin) == pytest.approx(earned.sum() / known.pieces.sum() / 100)
    assert set(kinds) == {"star", "plough-horse", "puzzle", "dog"}


@pytest.mark.long
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_rule_is_the_oracles_on_real_orders(migrated_url: str, tmp_path: Path, folder: str) -> None:
    sold, lines, menu = loaded(migrated_url, folder)
    staff = frozenset(sorted(set(sold.mobile_id.dropna()))[:3])
    own = {
        "recency_days": [Decimal(7), Decimal("14.5"), Decimal(30), Decimal(60)],
        "frequency": [Decimal(0), Decimal(1), Decimal(3), Decimal(7)],
    }
    dearest = [Decimal(cut) for cut in ("2.5", "10", "17.85", "400.005")]
    base = replace(FOLDERS[folder], costs=costs_of(menu))
    for rules in (
        replace(base, own_cut_points=own, rank_by="margin", min_orders=5),
        replace(base, average=True, excluded=staff, rank_by="revenue", excluded_items=frozenset({1, 3})),
        replace(base, average=True, own_cut_points={"monetary": dearest}, rank_by="quantity"),
    ):
        settings = settings_for(migrated_url, tmp_path, rules)
        for kind in ("rfm", "menu"):
            run = run_inline(settings, kind, as_of=rules.as_of).run
            assert run.status == "succeeded", run.error
        segments = rfm_segments(migrated_url)
        segments["monetary"] = [Decimal(value) for value in segments["monetary"]]
        oracle.compare_rfm(segments, oracle.rfm(sold, rules))
        oracle.compare_menu(menu_recommendation(migrated_url), oracle.menu(sold, lines, rules))
        oracle.compare_menu(menu_on(migrated_url, "weekend"), oracle.menu(sold, lines, rules, (6, 7)))
