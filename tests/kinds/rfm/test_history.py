"""Segments by business date: written by every run of a day, and computed for the past; and first purchases."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from click.testing import CliRunner

from cli.commands import cli
from settings import Settings
from tests import oracle
from tests.builders import transactions
from tests.oracle import Rules
from tests.system import fill, make_settings, read, run_inline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
# Customers a to l; each comes every (n + 1)th day of the four weeks before NOON, and pays 10 + n.
SOLD = [
    (100 * customer + day, chr(ord("a") + customer), f"{10 + customer}.50", NOON - DAY * day)
    for customer in range(12)
    for day in range(customer, 28, customer + 1)
]


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(migrated_url, {"fact_transactions": transactions(SOLD)})
    return make_settings(migrated_url, tmp_path)


def history(url: str) -> dict[date, dict[str, tuple[int, Decimal]]]:
    found: dict[date, dict[str, tuple[int, Decimal]]] = {}
    for row in read(url, "SELECT * FROM segment_history").itertuples():
        found.setdefault(row.business_date, {})[row.segment] = (row.customers, row.revenue)
    return found


def expected(as_of: datetime, sold: list[tuple] = SOLD) -> dict[str, tuple[int, Decimal]]:
    rows = oracle.rfm(transactions(sold), Rules(as_of=as_of))
    return {name: (len(its), sum(its["monetary"], Decimal(0))) for name, its in rows.groupby("segment")}


def test_each_run_writes_its_day_and_the_last_one_of_a_day_stays(settings: Settings) -> None:
    url = settings.database_url
    run_inline(settings, "rfm", at=NOON)
    assert history(url) == {NOON.date(): expected(NOON)}
    run_inline(settings, "rfm", as_of=NOON - 5 * DAY)
    assert history(url).keys() == {NOON.date()}

    later = NOON + timedelta(hours=1)
    sold = [*SOLD, (9_000, "m", "500.00", later), (9_001, "l", "70.00", later)]
    fill(url, {"fact_transactions": transactions(sold)})
    run_inline(settings, "rfm", at=NOON)
    run = run_inline(settings, "rfm", mode="incremental", at=later).run
    assert run.mode == "incremental"
    assert history(url) == {NOON.date(): expected(later, sold)}
    assert set(read(url, "SELECT run_id FROM segment_history")["run_id"]) == {run.run_id}
    run_inline(settings, "rfm", at=NOON + DAY)
    assert history(url).keys() == {NOON.date(), (NOON + DAY).date()}


def test_past_days_are_computed_once_and_publish_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    url = settings.database_url
    run_inline(settings, "rfm", at=NOON)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("SMARTCRM_HOME", str(settings.home))
    before = read(url, "SELECT * FROM analytics_published"), read(url, "SELECT * FROM segment_changes")
    first = (NOON - 10 * DAY).date()
    asked = CliRunner().invoke(cli, ["history", "--since", str(first), "--every", "week", "--json"])
    assert asked.exit_code == 0, asked.output
    done = json.loads(asked.output)
    assert done["days"][0]["business_date"] == str(first) and done["known_days"] == 0
    found = history(url)
    for day in (first, first + 7 * DAY):
        next_day = datetime.combine(day + DAY, time(4), UTC)
        assert found[day] == expected(next_day - timedelta.resolution)
    assert found[NOON.date()] == expected(NOON)
    again = json.loads(CliRunner().invoke(cli, ["history", "--since", str(first), "--every", "week", "--json"]).output)
    assert again == {"days": [], "known_days": len(done["days"])}
    after = read(url, "SELECT * FROM analytics_published"), read(url, "SELECT * FROM segment_changes")
    assert all(one.equals(other) for one, other in zip(before, after, strict=True))
    for wrong in ("soon", "2999-01-01"):
        refused = CliRunner().invoke(cli, ["history", "--since", wrong])
        assert refused.exit_code != 0 and "--since" in str(refused.exception or refused.output)


def test_segments_show_the_first_purchase(settings: Settings) -> None:
    refund = [(8_000, "a", "-5.00", NOON - 60 * DAY), (8_001, "b", "0.00", NOON - 60 * DAY)]
    fill(settings.database_url, {"fact_transactions": transactions([*SOLD, *refund])})
    run_inline(settings, "rfm", at=NOON)
    query = "SELECT mobile_id, first_purchase_at FROM rfm_segments"
    found = read(settings.database_url, query).set_index("mobile_id")["first_purchase_at"].to_dict()
    frame = pd.DataFrame(SOLD, columns=["number", "customer", "amount", "at"])
    assert found == frame.groupby("customer")["at"].min().to_dict()

    with psycopg.connect(settings.database_url) as connection:
        connection.execute("INSERT INTO fact_transactions VALUES (9001, 'c', 3, %s)", [NOON - 90 * DAY])
    assert run_inline(settings, "rfm", mode="incremental", at=NOON).run.mode == "incremental"
    found = read(settings.database_url, query).set_index("mobile_id")["first_purchase_at"].to_dict()
    assert found["c"] == NOON - 90 * DAY
