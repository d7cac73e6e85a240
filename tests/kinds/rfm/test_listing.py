"""Lists of customers by segment, cluster and overdue: the same rows in the same order as pandas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from uuid import UUID

import pandas as pd
import psycopg
import pytest

from kinds import upkeep
from kinds.rfm import listing
from kinds.rfm.listing import Filter, Listing
from settings import Settings
from store import inbox
from store.database import snapshot, transaction
from store.published import published
from tests.kinds.clusters import eaters
from tests.system import do_part, fill, finish_inline, make_settings, read, run_inline
from worker import steering

# Customers with what other kinds have published of them, and with the marks that lists read.
CUSTOMERS = """
SELECT mobile_id, segment, recency_days, s.frequency, monetary, coalesce(c.cluster_id, 0) AS cluster,
       p.overdue_since IS NOT NULL AS overdue, r.cluster_id AS marked_cluster, r.overdue AS marked_overdue
FROM rfm_segments AS s LEFT JOIN customer_clusters AS c USING (mobile_id)
LEFT JOIN customer_predictions AS p USING (mobile_id)
JOIN (SELECT * FROM rfm_results WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm')) AS r
  USING (mobile_id)
ORDER BY mobile_id COLLATE "C"
"""
GROUPS = """
SELECT count(*) FILTER (WHERE r.customers IS DISTINCT FROM g.customers) AS differ
FROM (SELECT * FROM rfm_groups WHERE customers <> 0) AS g
FULL JOIN (SELECT generation, segment_number, overdue, cluster_id, count(*) AS customers
           FROM rfm_results GROUP BY 1, 2, 3, 4) AS r USING (generation, segment_number, overdue, cluster_id)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm')
"""
ORDERS = {
    "mobile_id": ([], []),
    "-monetary": (["monetary"], [False]),
    "-frequency": (["frequency"], [False]),
    "recency_days": (["recency_days"], [True]),
}


@pytest.fixture
def unpublished(migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a restaurant that has only orders."""
    monkeypatch.setenv("CLUSTERS", "3")
    fill(migrated_url, eaters.restaurant(400))
    return make_settings(migrated_url, tmp_path, RFM_SHARDS="3", CLUSTERS="3")


@pytest.fixture
def settings(unpublished: Settings) -> Settings:
    """Of a restaurant with published clusters and predictions."""
    publish_marks(unpublished)
    return unpublished


def publish_marks(settings: Settings) -> None:
    for kind in ("clusters", "predictions"):
        assert run_inline(settings, kind, at=eaters.NOW).run.status == "succeeded"


def score(settings: Settings, at: datetime) -> UUID:
    """A full run, up to where it is published."""
    with transaction(settings.database_url) as session:
        run = inbox.request(session, ["rfm"])[0]
        run.as_of, run_id = at, run.run_id
    for stage in ("aggregate", "score"):
        parts = steering.advance(settings, run_id)
        assert {name for name, _ in parts} == {stage}
        for part in parts:
            do_part(settings, run_id, *part)
    return run_id


def marked(url: str) -> pd.DataFrame:
    """The customers, once their marks are as published."""
    found = read(url, CUSTOMERS)
    assert found["marked_cluster"].tolist() == found["cluster"].tolist()
    assert found["marked_overdue"].tolist() == found["overdue"].tolist()
    assert read(url, GROUPS)["differ"].tolist() == [0]
    assert found["cluster"].nunique() == 4 and found["overdue"].nunique() == 2
    return found


def buy(url: str, number: int, mobile_id: str, at: datetime) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO fact_transactions VALUES (%s, %s, 25, %s)", [number, mobile_id, at])


def test_clusters_and_overdue_follow_every_publish(settings: Settings) -> None:
    url, now = settings.database_url, eaters.NOW
    run_inline(settings, "rfm", at=now)
    upkeep.index(url)
    late = marked(url).query("overdue")["mobile_id"].tolist()
    # One who was overdue comes; a new customer is first known to predictions.
    for number, mobile_id in ((90_001, late[0]), (90_002, "new"), (90_003, "new")):
        buy(url, number, mobile_id, now + timedelta(minutes=1))
    for kind in ("predictions", "clusters", "rfm"):
        assert run_inline(settings, kind, at=now + timedelta(minutes=2), mode="incremental").run.mode == "incremental"
    came = marked(url).set_index("mobile_id")
    assert not came.loc[late[0], "overdue"] and came.loc["new", "cluster"]
    # Days later others are overdue, which is published after segments are scored and before they are.
    then = now + timedelta(days=20)
    run_id = score(settings, then)
    assert run_inline(settings, "predictions", at=then).run.status == "succeeded"
    assert marked(url)["overdue"].sum() != came["overdue"].sum()
    assert finish_inline(settings, run_id).run.status == "succeeded"
    marked(url)
    with transaction(url) as session:
        upkeep.forget(session, late[1])
    assert late[1] not in marked(url)["mobile_id"].tolist()


def test_what_is_published_has_statistics_for_the_planner(settings: Settings) -> None:
    """Else the next statements are planned as for a few rows, until autovacuum comes."""
    run_inline(settings, "rfm", at=eaters.NOW)
    pieces = read(
        settings.database_url,
        "SELECT relname, reltuples, (SELECT count(*) FROM pg_stats WHERE tablename = relname"
        "  AND attname IN ('generation', 'mobile_id')) AS known"
        " FROM pg_class WHERE relname ~ '^(rfm|cluster|prediction)_results_g[0-9]+_s[0-9]+$'",
    )
    assert len(pieces) >= 3 and pieces["reltuples"].min() > 0 and pieces["known"].eq(2).all()


def test_the_first_clusters_may_be_published_after_segments_were_scored(unpublished: Settings) -> None:
    run_id = score(unpublished, eaters.NOW)
    assert read(unpublished.database_url, "SELECT max(cluster_id) AS found FROM rfm_results")["found"].tolist() == [0]
    publish_marks(unpublished)
    assert finish_inline(unpublished, run_id).run.status == "succeeded"
    marked(unpublished.database_url)


def test_marks_are_updated_at_the_publish_where_the_orders_sort_ids_differently(settings: Settings) -> None:
    url = settings.database_url
    with psycopg.connect(url) as connection:  # another collation, as far as anybody knows without comparing all ids
        connection.execute('ALTER TABLE fact_transactions ALTER mobile_id TYPE text COLLATE "C"')
    run = run_inline(settings, "rfm", at=eaters.NOW).run
    assert run.plan is not None and run.plan["marks"] is None
    marked(url)


def listed(url: str, wanted: dict[str, object], sort: listing.Sort) -> Iterator[str]:
    """All ids, page by page."""
    with snapshot(url) as session:
        state = published(session, "rfm")
        assert state is not None
        found, after = Listing(session, Filter(state, **wanted)), None  # type: ignore[arg-type]
        while page := found.page(sort, after=after, limit=40):
            yield from (row.mobile_id for row in page)
            after = listing.position(page[-1], sort)


def check_lists(url: str, customers: pd.DataFrame) -> None:
    """Every filter in every order, against pandas."""
    for names in product((None, customers["segment"].mode()[0]), (None, "dinner"), (None, 1, 0), (None, True, False)):
        wanted = {name: value for name, value in zip(("segment", "prefix", "cluster", "overdue"), names, strict=True)}
        rows = customers
        if wanted["segment"]:
            rows = rows[rows["segment"] == wanted["segment"]]
        if wanted["prefix"]:
            rows = rows[rows["mobile_id"].str.startswith("dinner")]
        if wanted["cluster"] is not None:
            rows = rows[(rows["cluster"] == wanted["cluster"]) & (rows["cluster"] != 0)]  # 0 is nobody's cluster
        if wanted["overdue"] is not None:
            rows = rows[rows["overdue"] == wanted["overdue"]]
        for sort, (columns, ascending) in ORDERS.items():
            expected = rows.sort_values([*columns, "mobile_id"], ascending=[*ascending, True])["mobile_id"]
            assert list(listed(url, wanted, sort)) == expected.tolist(), (wanted, sort)  # type: ignore[arg-type]
        with snapshot(url) as session:
            state = published(session, "rfm")
            assert state is not None
            assert Listing(session, Filter(state, **wanted)).count() == len(rows)  # type: ignore[arg-type]


def test_every_filter_and_order_lists_what_pandas_lists(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    url = settings.database_url
    run_inline(settings, "rfm", at=eaters.NOW)
    customers = marked(url)
    check_lists(url, customers)
    upkeep.index(url)
    # Then as if there were many; a beginning of ids that leaves few, or more.
    for few, most in ((1, 1000), (1, 1)):
        monkeypatch.setattr(listing, "FEW", few)
        monkeypatch.setattr(listing, "MOST_SORTED", most)
        check_lists(url, customers)
