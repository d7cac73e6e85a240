"""Clusters from orders to results: counts against pandas, kinds of eaters found again, ids and names kept;
long, since all cases share their restaurants.

Those that train several times are marked as long: each training tries ten numbers of clusters.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql

from cli.commands import cli
from kinds import upkeep
from kinds.clusters.plan import plan as plan_of
from kinds.clusters.rows import counts_query
from settings import Settings
from source import reading, touched
from source.window import use_time_zone
from store import versions
from store.database import transaction
from tests.kinds.clusters import eaters
from tests.system import fill, finish_inline, make_settings, read, run_inline
from webhook.app import create_app

TOKEN = {"Authorization": "Bearer first-token"}


def clusters(url: str) -> pd.DataFrame:
    return read(
        url,
        'SELECT mobile_id, cluster_id, distance, model_version FROM customer_clusters ORDER BY mobile_id COLLATE "C"',
    )


@pytest.fixture
def settings(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in (("DATABASE_URL", migrated_url), ("REDIS_URL", redis_url)):
        monkeypatch.setenv(name, value)
    return make_settings(migrated_url, tmp_path, redis_url, RFM_SHARDS="3", API_TOKENS="first-token")


@pytest.fixture
def three(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Three clusters, which are found quickly."""
    for name, value in (("DATABASE_URL", migrated_url), ("REDIS_URL", redis_url), ("CLUSTERS", "3")):
        monkeypatch.setenv(name, value)
    return make_settings(migrated_url, tmp_path, redis_url, RFM_SHARDS="3", CLUSTERS="3", API_TOKENS="first-token")


def trained(settings: Settings, tables: dict[str, pd.DataFrame], mode: str = "train") -> pd.DataFrame:
    fill(settings.database_url, tables)
    run = run_inline(settings, "clusters", at=eaters.NOW, mode=mode).run
    assert run.status == "succeeded", run.error
    return clusters(settings.database_url)


@pytest.mark.parametrize("indexed", [True, False])
def test_visits_and_lines_are_counted_as_pandas_counts_them(settings: Settings, indexed: bool) -> None:
    tables = eaters.restaurant()
    refund = pd.DataFrame([(90_001, "lunch 0000", "-5.00", eaters.NOW)], columns=tables["fact_transactions"].columns)
    tables["fact_transactions"] = pd.concat([tables["fact_transactions"], refund.astype(object)], ignore_index=True)
    fill(settings.database_url, tables)
    with reading.connect(settings.source_database_url) as crm:
        plan = plan_of(settings, crm) | {
            "as_of": eaters.NOW.isoformat(),
            "business_date": "2026-03-02",
            "business_day_start": "04:00",
            "timezone": "UTC",
        }
        use_time_zone(crm, plan)
        cursor = crm.execute(counts_query(plan, sql.SQL("mobile_id IS NOT NULL"), indexed=indexed))
        assert cursor.description is not None
        found = pd.DataFrame(cursor.fetchall(), columns=[column.name for column in cursor.description])
    found = found.set_index("mobile_id").sort_index()
    minutes = {
        daypart["name"]: [(start // 60_000_000, until // 60_000_000) for start, until in daypart["windows"]]
        for daypart in plan["dayparts"]
    }
    expected = eaters.counts(tables, minutes)
    names = ["visits", "cents", "weekend", "gaps", "gap_days", "gap_squares", "lines", "units", "items"]
    got = found.iloc[:, [0, 2, 3, 4, 5, 6, 7, 8, 9]]
    assert got.to_numpy().astype(int).tolist() == expected[names].to_numpy().astype(int).tolist()
    assert np.array(found["dayparts"].tolist()).tolist() == expected[[*minutes]].to_numpy().tolist()
    assert plan["categories"] == sorted(eaters.CATEGORIES)
    assert np.array(found.iloc[:, 11].tolist()).tolist() == expected[plan["categories"]].to_numpy().tolist()
    assert found.iloc[:, 1].sum() == 1


def test_kinds_of_eaters_are_found_again_and_told_in_words(settings: Settings) -> None:
    found = trained(settings, eaters.restaurant())
    kinds = found["mobile_id"].str.partition(" ")[0]
    inside = found["cluster_id"].notna()
    table = pd.crosstab(kinds[inside], found["cluster_id"][inside].astype(int))
    assert table.max(axis=0).sum() / table.to_numpy().sum() > 0.9  # each cluster is of one kind
    visits = read(settings.database_url, "SELECT mobile_id, count(*) AS n FROM fact_transactions GROUP BY 1")
    once = set(visits["mobile_id"][visits["n"] < 2])
    assert set(found["mobile_id"][~inside]) == once != set()
    profiles = read(settings.database_url, "SELECT * FROM cluster_profiles ORDER BY cluster_id")
    assert profiles["customers"].tolist() == table.sum(axis=0).tolist()
    assert sum(profiles["share"]) == pytest.approx(1)
    assert (profiles["stability"] >= 0.8).all()
    words = " ".join(profiles["description"]).casefold()
    assert "weekends" in words and "pizza" in words and "pastry" in words
    with transaction(settings.database_url) as session:
        champion = versions.champion(session, "clusters")
        assert champion is not None
        metrics = champion.metrics
    assert metrics["challenger"]["distance_ratio"] < metrics["baseline"]["distance_ratio"]
    assert not any(each["alarm"] for each in metrics["drift"]["features"].values())


@pytest.mark.long
def test_neither_shards_nor_row_order_show(migrated_url: str, tmp_path: Path) -> None:
    tables, seen, fingerprints = eaters.restaurant(), [], set()
    for shards in ("1", "2", "7", "16"):
        settings = make_settings(migrated_url, tmp_path, RFM_SHARDS=shards)
        with psycopg.connect(migrated_url) as connection:
            connection.execute("TRUNCATE analytics_models")
        mixed = {name: frame.sample(frac=1, random_state=int(shards)) for name, frame in tables.items()}
        seen.append(trained(settings, mixed))
        with transaction(migrated_url) as session:
            (model,) = versions.newest(session, "clusters")
            fingerprints.add(model.data_fingerprint + json.dumps(model.params, sort_keys=True))
    assert all(each.equals(seen[0]) for each in seen) and len(seen[0]) == 240
    assert len(fingerprints) == 1


@pytest.mark.long
def test_a_retrain_keeps_ids_and_a_given_name(settings: Settings) -> None:
    first = trained(settings, eaters.restaurant(), mode="full")
    renamed = CliRunner().invoke(cli, ["clusters", "--rename", "2", "Sunday families", "--json"])
    assert renamed.exit_code == 0, renamed.output
    again = trained(settings, eaters.restaurant())
    assert again.drop(columns="model_version").equals(first.drop(columns="model_version"))
    # More customers of the same kinds: nearly all of those who were there keep their cluster.
    more = trained(settings, eaters.restaurant(customers=360, seed=1))
    both = first.merge(more, on="mobile_id").dropna(subset=["cluster_id_x", "cluster_id_y"])
    assert (both["cluster_id_x"] == both["cluster_id_y"]).mean() >= 0.9
    names = dict(read(settings.database_url, "SELECT cluster_id, name FROM cluster_profiles").to_numpy().tolist())
    assert names[2] == "Sunday families"


def test_what_is_published_is_read_over_http_and_renamed(three: Settings) -> None:
    found = trained(three, eaters.restaurant(), mode="full")
    client = create_app(three).test_client()

    def get(path: str, status: int = 200, **headers: str) -> Any:
        answer = client.get(path, headers=TOKEN | headers)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer

    listed = get("/clusters")
    tag = listed.headers["ETag"]
    shown = listed.get_json()
    assert shown["unclustered"] == int(found["cluster_id"].isna().sum())
    for cluster in shown["clusters"]:
        members, cursor = [], ""
        while cursor is not None:
            page = get(
                f"/clusters/{cluster['cluster_id']}/customers?limit=50{cursor and f'&cursor={cursor}'}"
            ).get_json()
            members += [row["mobile_id"] for row in page["customers"]]
            cursor = page["next_cursor"]
        expected = found["mobile_id"][found["cluster_id"] == cluster["cluster_id"]]
        assert sorted(members) == sorted(expected) and len(members) == cluster["customers"]
    get("/clusters/99/customers", 404)
    get("/clusters", 304, **{"If-None-Match": tag})
    one = shown["clusters"][0]["cluster_id"]
    renamed = client.post(f"/clusters/{one}", json={"name": " Regulars "}, headers=TOKEN)
    assert renamed.status_code == 200 and renamed.get_json()["name"] == "Regulars"
    assert get("/clusters", **{"If-None-Match": tag}).get_json()["clusters"][0]["name"] == "Regulars"
    assert client.post("/clusters/99", json={"name": "x"}, headers=TOKEN).status_code == 404
    assert client.post(f"/clusters/{one}", json={"name": "  "}, headers=TOKEN).status_code == 422


PROFILES = "SELECT cluster_id, customers, share FROM cluster_profiles ORDER BY cluster_id"


def sell(url: str, number: int, customer: str, at: datetime, item: int, quantity: int = 1) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO fact_transactions VALUES (%s, %s, 10, %s)", [number, customer, at])
        values = [number, number, item, quantity, 10]
        connection.execute("INSERT INTO fact_transaction_items VALUES (%s, %s, %s, %s, %s)", values)


def test_an_incremental_run_assigns_whom_an_order_touched_alone(three: Settings) -> None:
    url = three.database_url
    before = trained(three, eaters.restaurant(), mode="full")
    once = before["mobile_id"][before["cluster_id"].isna()].iloc[0]
    sell(url, 90_001, once, eaters.NOW, 20)  # the second visit
    sell(url, 90_002, "new", eaters.NOW, 10)
    sell(url, 90_003, "", eaters.NOW, 10)
    with psycopg.connect(url) as connection:
        newest = "SELECT mobile_id FROM fact_transactions WHERE transaction_id = 1500"
        (gone,) = connection.execute(newest).fetchone() or ("",)
        connection.execute("DELETE FROM fact_transactions WHERE mobile_id = %s", [gone])
    run = run_inline(three, "clusters", at=eaters.NOW, mode="incremental").run
    assert (run.status, run.mode) == ("succeeded", "incremental"), run.error
    after, profiles = clusters(url), read(url, PROFILES)
    assert set(after["mobile_id"]) ^ set(before["mobile_id"]) == {"new", gone}
    assert after.set_index("mobile_id")["cluster_id"][[once, "new"]].notna().tolist() == [True, False]
    written = read(url, f"SELECT mobile_id FROM customer_clusters WHERE run_id = '{run.run_id}'")["mobile_id"]
    assert set(written) == {once, "new"}
    counted = after["cluster_id"].value_counts().sort_index()
    assert profiles["customers"].tolist() == counted.tolist()
    assert run_inline(three, "clusters", at=eaters.NOW).run.mode == "full"
    assert clusters(url).equals(after) and read(url, PROFILES).equals(profiles)
    tomorrow = eaters.NOW + timedelta(days=1)
    sell(url, 90_004, "newer", tomorrow, 10)  # nobody to assign
    run = run_inline(three, "clusters", at=tomorrow, mode="incremental").run
    assert (run.status, run.mode) == ("succeeded", "incremental"), run.error
    later = clusters(url)
    assert len(later) == len(after) + 1
    assert run_inline(three, "clusters", at=tomorrow).run.mode == "full"
    assert clusters(url).equals(later)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE dim_menu_items SET category = 'Pizza' WHERE item_id = 20")
    moved = run_inline(three, "clusters", at=tomorrow, mode="incremental").run
    assert moved.mode == "full"  # buyers of the item have other features now


def test_a_refresh_reads_customers_of_the_newest_orders_again_only_if_one_or_its_lines_have_changed(
    three: Settings,
) -> None:
    before = trained(three, eaters.restaurant(), mode="full")["mobile_id"].iloc[0]
    edit = "UPDATE fact_transaction_items SET quantity = 9 WHERE transaction_id = 90001"
    for change, most in (("", 0), ("sell", 1), (edit, 1_000), ("", 0)):
        if change == "sell":
            sell(three.database_url, 90_001, before, eaters.NOW, 20)
        elif change:
            with psycopg.connect(three.database_url) as connection:
                connection.execute(change)
        run = run_inline(three, "clusters", at=eaters.NOW, mode="incremental").run
        assert (run.status, run.mode) == ("succeeded", "incremental") and run.counts is not None
        assert most // 100 <= run.counts["staged"] <= most
    after = clusters(three.database_url)
    run_inline(three, "clusters", at=eaters.NOW)
    assert clusters(three.database_url).equals(after)


CUSTOMERS = st.sampled_from([f"{kind} {n:04}" for n, kind in enumerate(eaters.KINDS)] + ["new", "newer"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("sell"), CUSTOMERS, st.integers(0, 200 * 24)),
        st.tuples(st.sampled_from(["drop", "edit", "customer", "line", "another"]), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("named"), st.integers(100, 1000), st.just(0)),
    ),
    min_size=1,
    max_size=5,
)
EDITS = {
    "drop": "DELETE FROM fact_transactions WHERE transaction_id = %s",
    "edit": "UPDATE fact_transactions SET total_amount = 99 WHERE transaction_id = %s",
    "named": "UPDATE fact_transactions SET total_amount = 0 WHERE transaction_id = %s",
    "customer": "UPDATE fact_transactions SET mobile_id = 'newer' WHERE transaction_id = %s",
    "line": "UPDATE fact_transaction_items SET quantity = 7 - quantity WHERE transaction_id = %s",
    "another": "UPDATE fact_transaction_items SET item_id = (item_id + 10) %% 30 WHERE transaction_id = %s",
}


@pytest.mark.long
@pytest.mark.parametrize("shards", ["1", "2", "7", "16"])
def test_an_incremental_run_leaves_what_a_full_one_would(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: str
) -> None:
    """Long, since every example has a full run of its own beside."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 40)
    settings = make_settings(migrated_url, tmp_path, RFM_SHARDS=shards, CLUSTERS="3")
    trained(settings, eaters.restaurant())
    modes = set()

    @hypothesis_settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=CHANGES)
    def check(steps: list[tuple[str, Any, int]]) -> None:
        named = None
        for what, who, ago in steps:
            (newest,) = read(migrated_url, "SELECT max(transaction_id) AS newest FROM fact_transactions")["newest"]
            if what == "sell":
                sell(migrated_url, int(newest) + 1, who, eaters.NOW - timedelta(hours=ago), ago % 3 * 10, 1 + ago % 4)
            else:  # one of the newest rows, or an older one that the request names
                named = (newest - who, newest - who) if what == "named" else named
                with psycopg.connect(migrated_url) as connection:
                    connection.execute(EDITS[what], [newest - who])
        run = run_inline(settings, "clusters", at=eaters.NOW, mode="incremental", named_ids=named).run
        assert run.status == "succeeded", run.error
        modes.add(run.mode)
        found, profiles = clusters(migrated_url), read(migrated_url, PROFILES)
        assert run_inline(settings, "clusters", at=eaters.NOW).run.mode == "full"
        assert clusters(migrated_url).equals(found) and read(migrated_url, PROFILES).equals(profiles)

    check()
    assert modes == {"incremental"}


def test_a_rollback_gives_the_former_clusters_back(three: Settings) -> None:
    first = trained(three, eaters.restaurant(), mode="full")
    profiles = read(three.database_url, "SELECT * FROM cluster_profiles ORDER BY cluster_id")
    with transaction(three.database_url) as session:
        former = versions.champion(session, "clusters")
        assert former is not None
        kept = former.params
        former.params = kept | {"centres": [[-value for value in centre] for centre in kept["centres"]]}
    assert trained(three, eaters.restaurant())["model_version"].eq(2).all()
    with transaction(three.database_url) as session:
        versions.numbered(session, "clusters", 1).params = kept
    put_back = CliRunner().invoke(cli, ["models", "--rollback", "clusters", "--json"])
    assert put_back.exit_code == 0, put_back.output
    (run,) = json.loads(put_back.stdout)["runs"]
    assert finish_inline(three, UUID(run["run_id"])).run.status == "succeeded"
    assert clusters(three.database_url).equals(first)
    assert read(three.database_url, "SELECT * FROM cluster_profiles ORDER BY cluster_id").equals(profiles)


@pytest.mark.parametrize("customers", [0, 1, 60])
def test_too_little_data_is_said_and_publishes_nobody(settings: Settings, customers: int) -> None:
    assert trained(settings, eaters.restaurant(customers), mode="full").empty
    answer = create_app(settings).test_client().get("/clusters", headers=TOKEN).get_json()
    assert answer["status"] == "too_little_data"
    assert answer["needs"] == {"customers_with_three_visits": 200}


def test_customers_who_are_all_alike_have_no_clusters(settings: Settings) -> None:
    tables = eaters.restaurant()
    sold = tables["fact_transactions"]
    tables["fact_transactions"] = pd.concat(
        [
            sold.head(1).assign(transaction_id=place, mobile_id=f"c{place % 300}", total_amount="5.00")
            for place in range(1, 1201)
        ],
        ignore_index=True,
    ).astype(object)
    tables["fact_transaction_items"] = tables["fact_transaction_items"].iloc[:0]
    assert trained(settings, tables, mode="full").empty


@pytest.mark.long
def test_a_forgotten_customer_is_gone(settings: Settings) -> None:
    found = trained(settings, eaters.restaurant(), mode="full")
    with transaction(settings.database_url) as session:
        assert upkeep.forget(session, "lunch 0000") >= 1
    assert len(clusters(settings.database_url)) == len(found) - 1


@pytest.mark.long
def test_another_number_of_clusters_is_served_when_it_is_asked_for(three: Settings, tmp_path: Path) -> None:
    trained(three, eaters.restaurant(), mode="full")
    four = make_settings(three.database_url, tmp_path, RFM_SHARDS="3", CLUSTERS="4")
    assert trained(four, eaters.restaurant())["cluster_id"].nunique() == 4
    with transaction(four.database_url) as session:
        champion = versions.champion(session, "clusters")
        assert champion is not None and champion.decision == "promoted over v1: CLUSTERS asks for 4 clusters"


@pytest.mark.long
def test_features_that_are_gone_can_not_be_put_back_and_are_replaced(settings: Settings) -> None:
    tables = eaters.restaurant()
    trained(settings, tables, mode="full")
    menu = tables["dim_menu_items"]
    tables["dim_menu_items"] = menu.assign(category=menu["category"].replace({"Pizza": "Pies"}))
    assert not trained(settings, tables, mode="full").empty
    with transaction(settings.database_url) as session:
        newest, oldest = versions.newest(session, "clusters")
        assert newest.status == "champion" and "no longer exist: Pizza" in newest.decision
        answer = create_app(settings).test_client().post(f"/models/{oldest.model_id}/promote", headers=TOKEN)
    assert answer.status_code == 409 and answer.get_json()["error_code"] == "model_unusable"
    refused = CliRunner().invoke(cli, ["models", "--rollback", "clusters"])
    assert refused.exit_code == 1 and "rests on what no longer exists: Pizza" in str(refused.exception)
