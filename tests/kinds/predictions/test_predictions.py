"""Predictions from orders to results: histories against pandas, probabilities against lifetimes; repeatable; long,
since all cases share their restaurants.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter

from kinds import upkeep
from settings import Settings
from source import touched
from store import versions
from store.database import transaction
from tests.kinds.predictions import shop
from tests.system import fill, make_settings, read, run_inline

COLUMNS = (
    "mobile_id, p_alive, p_order_30d, p_order_90d, expected_orders_90d, expected_value_90d, next_order_from,"
    " next_order_median, next_order_to, overdue_since, model_version"
)


def predictions(url: str) -> pd.DataFrame:
    return read(url, f'SELECT {COLUMNS} FROM customer_predictions ORDER BY mobile_id COLLATE "C"')


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    return make_settings(migrated_url, tmp_path, RFM_SHARDS="3")


def trained(settings: Settings, sold: pd.DataFrame, mode: str = "train") -> pd.DataFrame:
    fill(settings.database_url, shop.tables(sold))
    run = run_inline(settings, "predictions", at=shop.TODAY, mode=mode).run
    assert run.status == "succeeded", run.error
    return predictions(settings.database_url)


def test_histories_are_those_of_pandas_and_probabilities_those_of_lifetimes(settings: Settings) -> None:
    sold = shop.orders()
    extra = pd.DataFrame(
        [
            (90_001, "refund only", "-5.00", shop.TODAY - timedelta(days=3)),
            (90_002, "c0001", "-5.00", shop.TODAY - timedelta(days=3)),
            (90_003, "broken", "NaN", shop.TODAY - timedelta(days=3)),
            (90_004, "future", "5.00", shop.TODAY + timedelta(days=3)),
            (90_005, None, "5.00", shop.TODAY - timedelta(days=3)),
            (90_006, "today", "7.00", shop.TODAY),
        ],
        columns=["transaction_id", "mobile_id", "total_amount", "created_at"],
        dtype=object,
    )
    sold = pd.concat([sold.astype(object), extra], ignore_index=True)
    found = trained(settings, sold)
    expected = shop.histories(sold[sold["total_amount"] != "NaN"])
    assert found["mobile_id"].tolist() == expected.index.tolist()
    stored = read(settings.database_url, 'SELECT x, t_x, t FROM prediction_results ORDER BY mobile_id COLLATE "C"')
    assert stored.to_numpy().tolist() == expected[["x", "t_x", "t"]].to_numpy().tolist()

    with transaction(settings.database_url) as session:
        champion = versions.champion(session, "predictions")
        assert champion is not None
        params, metrics = champion.params, champion.metrics
    fitter = {"mbg": ModifiedBetaGeoFitter, "bg": BetaGeoFitter}[params["family"]]()
    x, t_x, t = (expected[name].to_numpy() for name in ("x", "t_x", "t"))
    reference = fitter.fit(x, t_x, t)
    names = ["r", "alpha", "a", "b"]
    # With few customers the likelihood is flat, so it is compared with lifetimes', and the parameters are not.
    ours = fitter._negative_log_likelihood(
        np.log([params[name] for name in names]), x, t_x, t, np.ones(len(x)), penalizer_coef=0
    )
    theirs = fitter._negative_log_likelihood(
        np.log([reference.params_[name] for name in names]), x, t_x, t, np.ones(len(x)), penalizer_coef=0
    )
    assert ours <= theirs + 1e-6
    for name in names:
        reference.params_[name] = params[name]
    assert found["p_alive"].astype(float).to_numpy() == pytest.approx(
        np.asarray(reference.conditional_probability_alive(x, t_x, t)), abs=1e-6
    )
    orders = np.asarray(reference.conditional_expected_number_of_purchases_up_to_time(90, x, t_x, t))
    assert found["expected_orders_90d"].astype(float).to_numpy() == pytest.approx(orders, abs=1e-6)
    spending = params["spending"]
    worth = spending["mean"]
    if spending["p"]:
        worth = spending["p"] * (spending["v"] + expected["repeat_cents"]) / (spending["p"] * x + spending["q"] - 1)
    value = found["expected_value_90d"].astype(float).to_numpy()
    assert value == pytest.approx(np.round(orders * np.asarray(worth)) / 100, abs=0.011)

    today = shop.TODAY.date()
    given = found["p_order_90d"] >= 0.2
    assert given.any() and not given.all()
    assert (found["next_order_from"].notna() == given).all()
    for row in found[given].itertuples():
        assert today < row.next_order_from <= row.next_order_median <= row.next_order_to <= today + timedelta(days=90)
    limit = (params["alpha"] + t_x) * (0.1 ** (-1 / (params["r"] + x)) - 1)
    overdue = (x > 0) & (t - t_x > limit)
    assert overdue.any() and (found["overdue_since"].notna().to_numpy() == overdue).all()
    for place in np.flatnonzero(overdue):
        last = today - timedelta(days=int(t[place] - t_x[place]))
        assert found["overdue_since"][place] == last + timedelta(days=int(np.floor(limit[place])) + 1) <= today
    assert {"features", "last_month", "as_of"} == set(metrics["drift"])
    assert not any(each["alarm"] for each in metrics["drift"]["features"].values())
    month = shop.histories(sold[sold["total_amount"] != "NaN"], shop.TODAY - timedelta(days=30))
    ago = expected["t"] - expected["t_x"]
    assert metrics["drift"]["last_month"]["customers"] == len(month)
    assert metrics["drift"]["last_month"]["actual"] == int((ago.reindex(month.index) < 30).sum())


def test_neither_shards_nor_row_order_show_and_equal_data_have_equal_fingerprints(
    migrated_url: str, tmp_path: Path
) -> None:
    sold, seen, fingerprints = shop.orders(), [], []
    for shards in ("1", "2", "7", "16"):
        settings = make_settings(migrated_url, tmp_path, RFM_SHARDS=shards)
        with psycopg.connect(migrated_url) as connection:
            connection.execute("TRUNCATE analytics_models")
        seen.append(trained(settings, sold.sample(frac=1, random_state=int(shards))))
        with transaction(migrated_url) as session:
            (model,) = versions.newest(session, "predictions")
            fingerprints.append((model.data_fingerprint, model.params))
    assert all(each.equals(seen[0]) for each in seen) and len(seen[0]) == 320
    assert all(each == fingerprints[0] for each in fingerprints)


def test_a_full_run_scores_with_the_frozen_model_and_a_retrain_on_the_same_data_keeps_it(settings: Settings) -> None:
    sold = shop.orders()
    first = trained(settings, sold, mode="full")
    assert run_inline(settings, "predictions", at=shop.TODAY, mode="full").run.mode == "full"
    assert predictions(settings.database_url).equals(first)
    again = trained(settings, sold)
    assert again.equals(first)
    with transaction(settings.database_url) as session:
        newest, oldest = versions.newest(session, "predictions")
        assert (newest.status, oldest.status) == ("rejected", "champion")
        assert newest.data_fingerprint == oldest.data_fingerprint and newest.params == oldest.params
        assert newest.decision.startswith("kept v1: ")
        assert newest.metrics["champion"]["30d"]["log_loss"] > 0


def test_a_rollback_gives_the_former_results_back(settings: Settings) -> None:
    sold = shop.orders()
    first = trained(settings, sold)
    with transaction(settings.database_url) as session:
        stale = versions.champion(session, "predictions")
        assert stale is not None
        stale.params = stale.params | {"alpha": stale.params["alpha"] * 8}
    assert not trained(settings, sold, mode="full").equals(first)
    trained(settings, sold)
    with transaction(settings.database_url) as session:
        second = versions.champion(session, "predictions")
        assert second is not None and second.version == 2 and "promoted over v1" in second.decision
        versions.put_in_service(session, versions.earlier(session, "predictions"))
        former = versions.champion(session, "predictions")
        assert former is not None and former.version == 1
        former.params = former.params | {"alpha": former.params["alpha"] / 8}
    back = trained(settings, sold, mode="full")
    assert back.equals(first)


@pytest.mark.parametrize(
    "sold",
    [
        shop.orders().iloc[:1],
        shop.orders(customers=150),
        shop.orders().drop_duplicates("mobile_id"),  # one order per customer
        shop.orders().assign(created_at=shop.TODAY - timedelta(hours=1)),  # all on one day
        shop.orders(days=60),
        shop.orders().iloc[:0],
    ],
    ids=["one customer", "few", "everybody once", "one day", "two months", "nobody"],
)
def test_too_little_data_is_said_and_publishes_nobody(settings: Settings, sold: pd.DataFrame) -> None:
    assert trained(settings, sold, mode="full").empty
    with transaction(settings.database_url) as session:
        assert versions.newest(session, "predictions") == []
    counts = run_inline(settings, "predictions", at=shop.TODAY).run.counts
    assert counts is not None
    assert counts["too_little_data"]["needs"] == {"customers": 200, "repeaters": 100, "days": 90}
    assert counts["too_little_data"]["has"]["customers"] == sold["mobile_id"].nunique()


def test_a_forgotten_customer_is_gone(settings: Settings) -> None:
    found = trained(settings, shop.orders())
    with transaction(settings.database_url) as session:
        assert upkeep.forget(session, "c0007") >= 1
    left = predictions(settings.database_url)
    assert len(left) == len(found) - 1 and "c0007" not in set(left["mobile_id"])
    bounds = read(settings.database_url, "SELECT lower, upper FROM analytics_parts")
    assert "c0007" not in set(bounds.to_numpy().ravel())


def test_excluded_customers_have_no_prediction(migrated_url: str, tmp_path: Path) -> None:
    chosen = tmp_path / "map.toml"
    chosen.write_text('[exclude]\nmobile_ids = ["c0007"]\n')
    settings = make_settings(migrated_url, tmp_path, SEGMENT_MAP=str(chosen))
    found = trained(settings, shop.orders())
    assert len(found) == 319 and "c0007" not in set(found["mobile_id"])


CUSTOMERS = st.sampled_from([f"c{number:04}" for number in range(0, 320, 40)] + ["new", "newer"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), CUSTOMERS, st.integers(0, 300)),
        st.tuples(st.just("refund"), CUSTOMERS, st.integers(0, 3)),
        st.tuples(st.just("drop"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("edit"), st.integers(0, 30), st.just(0)),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.long
def test_an_incremental_run_leaves_what_a_full_one_would(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long, since every example has a full run of its own beside."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 40)
    trained(settings, shop.orders())
    modes = set()

    @hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=CHANGES)
    def check(steps: list[tuple[str, Any, int]]) -> None:
        with psycopg.connect(settings.database_url) as connection:
            for what, who, ago in steps:
                (newest,) = connection.execute("SELECT max(transaction_id) FROM fact_transactions").fetchone() or (0,)
                if what in ("sell", "refund"):
                    amount = "12.50" if what == "sell" else "-3.00"
                    values = [newest + 1, who, amount, shop.TODAY - timedelta(days=ago)]
                    connection.execute("INSERT INTO fact_transactions VALUES (%s, %s, %s, %s)", values)
                else:  # one of the newest rows
                    change = "DELETE FROM" if what == "drop" else "UPDATE"
                    change += " fact_transactions" + (" SET total_amount = 99" if what == "edit" else "")
                    connection.execute(f"{change} WHERE transaction_id = %s", [newest - who])  # type: ignore[arg-type]
        run = run_inline(settings, "predictions", at=shop.TODAY, mode="incremental").run
        assert run.status == "succeeded", run.error
        modes.add(run.mode)
        found = predictions(settings.database_url)
        assert run_inline(settings, "predictions", at=shop.TODAY, mode="full").run.status == "succeeded"
        assert predictions(settings.database_url).equals(found)

    check()
    assert modes == {"incremental"}


def test_a_refresh_reads_customers_of_the_newest_orders_again_only_if_one_has_changed(settings: Settings) -> None:
    trained(settings, shop.orders())
    sale = "INSERT INTO fact_transactions VALUES (90001, 'c0004', 20, %s)"
    edit = "UPDATE fact_transactions SET total_amount = 25 WHERE transaction_id = 90001 AND created_at = %s"
    for change, most in ((None, 0), (sale, 1), (edit, 1_000), (None, 0)):
        if change is not None:
            with psycopg.connect(settings.database_url) as connection:
                connection.execute(change, [shop.TODAY])
        run = run_inline(settings, "predictions", at=shop.TODAY, mode="incremental").run
        assert (run.mode, run.status) == ("incremental", "succeeded") and run.counts is not None
        assert most // 100 <= run.counts["staged"] <= most
    after = predictions(settings.database_url)
    run_inline(settings, "predictions", at=shop.TODAY, mode="full")
    assert predictions(settings.database_url).equals(after)


def test_an_incremental_run_writes_whom_an_order_touched_alone(settings: Settings) -> None:
    before = trained(settings, shop.orders())
    with psycopg.connect(settings.database_url) as connection:
        for number, customer in ((90_001, "c0004"), (90_002, "new"), (90_003, None)):
            connection.execute("INSERT INTO fact_transactions VALUES (%s, %s, 20, %s)", [number, customer, shop.TODAY])
        (gone,) = connection.execute(
            "SELECT mobile_id FROM fact_transactions WHERE transaction_id = 1740"
        ).fetchone() or ("",)
        connection.execute("DELETE FROM fact_transactions WHERE mobile_id = %s", [gone])
    run = run_inline(settings, "predictions", at=shop.TODAY, mode="incremental").run
    assert run.mode == "incremental" and run.counts is not None
    after = predictions(settings.database_url)
    written = read(settings.database_url, "SELECT mobile_id, run_id FROM customer_predictions")
    changed = written[written["run_id"] == run.run_id]
    assert set(after["mobile_id"]) ^ set(before["mobile_id"]) == {"new", gone}
    assert {"c0004", "new"} <= set(changed["mobile_id"]) and len(changed) < 20
    assert run_inline(settings, "predictions", at=shop.TODAY, mode="full").run.mode == "full"
    assert predictions(settings.database_url).equals(after)
    tomorrow = run_inline(settings, "predictions", at=shop.TODAY + timedelta(days=1), mode="incremental").run
    assert tomorrow.mode == "full"
