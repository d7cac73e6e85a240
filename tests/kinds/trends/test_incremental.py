"""Incremental runs: after any import the published series equal the oracle's, and all results those of a full run."""

from __future__ import annotations

import runpy
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from analytics.series import TOTALS
from kinds.trends import plan
from source import touched
from store.models import Run
from tests.books import Restaurant
from tests.builders import items, transactions
from tests.kinds.trends import restaurant as half_a_year
from tests.kinds.trends.checks import check_counts, published
from tests.system import fill, make_settings, run_inline

EVENING = datetime(2025, 10, 26, 18, tzinfo=UTC)  # London's clocks went back in the night before
DAYS = 100


class Books(Restaurant):
    """A restaurant of which trends are computed."""

    def open(self) -> None:
        """Fourteen weeks with two orders on each day but Sundays, in which ten customers come and go."""
        super().open()
        first = EVENING - timedelta(days=DAYS)
        days = [first + timedelta(days=place) for place in range(DAYS) if (first + timedelta(days=place)).weekday() < 6]
        for place, day in enumerate(days):
            for visit in range(2):
                number = 1000 + 10 * place + visit
                self.sold[number] = (number, f"c{(place // 3 + visit) % 10}", "10.00", day - timedelta(hours=4 * visit))
                for dish in {1 + place % 2, 1 + visit}:
                    self.lines[len(self.lines) + 1] = (number, dish, 1, "2.505")
        sold, lines = transactions(list(self.sold.values())), items(list(self.lines.values()))
        fill(self.orders_url, {"fact_transactions": sold, "fact_transaction_items": lines})
        with psycopg.connect(self.orders_url) as connection:
            connection.execute("ALTER TABLE fact_transactions ADD PRIMARY KEY (transaction_id)")

    def trends(self, mode: str = "incremental", named: tuple[int, int] | None = None) -> Run:
        """A run of trends now."""
        run = run_inline(self.settings, "trends", at=self.now, mode=mode, named_ids=named).run
        assert run.status == "succeeded", run.error
        return run

    def check_series(self) -> None:
        rules = replace(self.rules, as_of=self.now)
        sold, lines = transactions(list(self.sold.values())), items(list(self.lines.values()))
        check_counts(self.url, sold, lines, rules, {})

    def check_like_full(self, run: Run) -> None:
        """Compare all that is published, and what its run says of its days, with a full run's."""
        found, counts = published(self.url), run.counts or {}
        whole = self.trends("full")
        expected = published(self.url)
        for name, rows in expected.items():
            assert found[name].equals(rows), name
        days = ("complete_days", "first_date", "last_date", "last_complete_date", "closed_days", "closed_weekdays")
        assert [counts.get(name) for name in days] == [(whole.counts or {}).get(name) for name in days]


CUSTOMERS = st.sampled_from([f"c{number}" for number in range(12)] + [None, ""])
AMOUNTS = st.sampled_from(["10.00", "25.50", "0.005", "80", "-4.00", "-10.00", "NaN"])
AGES = st.sampled_from([0, 0, 1, 5, 300, 1440, 3 * 1440, 40 * 1440, 110 * 1440, -10, None])  # minutes; below 0: to come
DISHES = st.lists(st.integers(1, 5), max_size=3)
ROW = st.tuples(CUSTOMERS, AMOUNTS, AGES, DISHES)
STEP = st.fixed_dictionaries(
    {
        "minutes": st.sampled_from([0, 1, 20, 90, 90, 1500]),
        "new": st.lists(ROW, max_size=5),
        "named": st.lists(ROW, max_size=1),
        "edited": st.lists(st.tuples(st.integers(0, 300), ROW), max_size=1),
        "newest": st.sampled_from(["left", "left", "edited", "removed"]),
    }
)


def put(books: Books, number: int, row: tuple[Any, ...]) -> None:
    customer, amount, age, dishes = row
    books.sell(number, customer, amount, None if age is None else books.now - timedelta(minutes=age), *dishes)


@pytest.mark.long
def test_after_any_imports_the_results_are_those_of_all_orders(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    modes: set[str] = set()

    @hypothesis_settings(
        max_examples=8,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(steps=st.lists(STEP, min_size=2, max_size=4), of_a_shard=st.sampled_from([1, 150]), inline=st.booleans())
    def check(steps: list[dict[str, Any]], of_a_shard: int, inline: bool) -> None:
        monkeypatch.setattr(plan, "ITEMS_OF_A_SHARD", of_a_shard)
        monkeypatch.setattr(touched, "SMALL", 10_000 if inline else 0)
        books = Books(migrated_url, tmp_path, now=EVENING)
        books.open()
        for dish in (1, 2, 3):
            books.name(dish, f"Dish {dish}")
        with psycopg.connect(migrated_url) as connection:
            connection.execute("TRUNCATE analytics_published")
        assert books.trends().mode == "full"
        low = 0
        for step in steps:
            newest, named = max(books.sold), []
            books.now += timedelta(minutes=step["minutes"])
            if step["newest"] == "edited":
                put(books, newest, ("c3", "7.00", 3 * 1440, []))
            elif step["newest"] == "removed":
                books.remove(lambda number, _, newest=newest: number == newest)
            for place, row in enumerate(step["new"]):
                put(books, newest + 100 + place, row)
            for row in step["named"]:
                low += 1
                put(books, low, row)
                named.append(low)
            for place, row in step["edited"]:
                number = sorted(books.sold)[place % len(books.sold)]
                put(books, number, row)
                named.append(number)
            run = books.trends(named=(min(named), max(named)) if named else None)
            modes.add(run.mode)
            books.check_series()
        books.check_like_full(run)

    check()
    assert modes == {"incremental"}, "a new business date is no reason to count everything again"


def test_a_refresh_fits_only_what_its_days_touch(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(touched, "OVERLAP_ROWS", 2)
    fill(migrated_url, half_a_year.tables())
    settings = make_settings(migrated_url, tmp_path, TIMEZONE="Europe/London")
    at = half_a_year.MORNING_AFTER
    today, sunday = at.date(), half_a_year.LAST
    saturday = sunday - timedelta(days=1)

    def sell(number: int, day: date, item: int, customer: str | None = "c1") -> None:
        with psycopg.connect(migrated_url) as connection:
            moment = min(datetime.combine(day, time(12), UTC), at)
            connection.execute("INSERT INTO fact_transactions VALUES (%s, %s, 10, %s)", (number, customer, moment))
            connection.execute("INSERT INTO fact_transaction_items VALUES (%s, %s, %s, 1, 4)", (number, number, item))

    def refresh(mode: str = "incremental") -> Run:
        run = run_inline(settings, "trends", at=at, mode=mode).run
        assert (run.status, run.mode) == ("succeeded", mode), run.error
        return run

    def refitted() -> int:
        run = refresh()
        found = published(migrated_url)
        whole = refresh("full")
        assert whole.counts is not None and run.counts is not None
        assert all(found[name].equals(rows) for name, rows in published(migrated_url).items())
        assert run.counts["last_complete_date"] == whole.counts["last_complete_date"]
        return int(run.counts["fitted_series"])

    with psycopg.connect(migrated_url) as connection:
        (last,) = connection.execute("SELECT 1 + max(transaction_id) FROM fact_transactions").fetchone() or (1,)
    refresh("full")
    sell(last, today, 1)
    assert refitted() > 5, "with an order of today, yesterday is complete"
    found = published(migrated_url)["metric_trends"]
    of_day = len(TOTALS) + 2 + 2  # of all orders, of the daypart and of the category
    sell(last + 1, today, 1)
    begun = 3  # early breakfast's orders and revenue, and those of tea
    assert refitted() == begun, "at five in the morning these have only begun; of the others only today's value changes"
    sell(last + 2, today, 2, None)
    assert refitted() == begun + 1, "and now soup, too"
    sell(last + 3, saturday, 2)
    assert refitted() == begun + 1 + 3 + of_day, "soup's orders, revenue and orders at noon"
    with psycopg.connect(migrated_url) as connection:
        connection.execute("DELETE FROM fact_transactions WHERE transaction_id = %s", [last + 3])
    assert refitted() == begun + 1 + 3 + of_day, "so when it is taken back"
    sell(last + 4, sunday, 1, "a new one")
    assert refitted() == len(found) + 1, "a day that was closed is not any more"
    sell(last + 5, half_a_year.FIRST - timedelta(days=3), 1)
    assert refitted() == len(found) + 1, "the series begin on another day"


def test_a_refresh_follows_the_history_of_segments(migrated_url: str, tmp_path: Path) -> None:
    books = Books(migrated_url, tmp_path, now=EVENING)
    books.open()
    books.sell(9000, "c1", "10.00", EVENING - timedelta(hours=1), 1)
    books.trends("full")
    today, begun = EVENING.date(), (books.trends().counts or {})["fitted_series"]

    def check(fitted: int, **rows: int) -> None:
        with psycopg.connect(migrated_url) as connection:
            for segment, days in rows.items():
                row = (
                    "SELECT %s::date - day, %s, day + 1, 10 * day, gen_random_uuid() FROM generate_series(0, %s) AS day"
                )
                connection.execute("DELETE FROM segment_history WHERE segment = %s", [segment])
                connection.execute(f"INSERT INTO segment_history {row}", [today, segment, days])
        run = books.trends()
        assert (run.counts or {})["fitted_series"] == begun + fitted
        books.check_like_full(run)

    check(2, Lost=0)
    check(0, Lost=0)
    check(4, Lost=40, Promising=30)
    check(2, Lost=40, Promising=20)
    check(0, Lost=-1, Promising=20)


ONE_COLUMN = """
UPDATE metric_results SET points = points || last_points;
CREATE OR REPLACE VIEW metric_series AS
SELECT metric, dimension, first_date + (place - 1)::int AS business_date, value
FROM metric_results, unnest(points) WITH ORDINALITY AS points (value, place)
WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'trends') AND value <> 'NaN';
ALTER TABLE metric_results DROP last_points;
"""


def test_series_of_version_0021_are_divided_so_that_a_refresh_follows(migrated_url: str, tmp_path: Path) -> None:
    books = Books(migrated_url, tmp_path, now=EVENING)
    books.open()
    books.sell(9000, "c1", "10.00", EVENING - timedelta(hours=1), 1)
    books.trends("full")
    before = published(migrated_url)["metric_series"]
    migration = Path(__file__).parents[3] / "migrations" / "versions" / "0022_last_points.py"
    with psycopg.connect(migrated_url) as connection:
        connection.execute(ONE_COLUMN)
        connection.execute(runpy.run_path(str(migration))["UPGRADE"])
    assert published(migrated_url)["metric_series"].equals(before)
    books.sell(9001, "c2", "20.00", EVENING, 2)
    run = books.trends()
    assert run.mode == "incremental"
    books.check_like_full(run)


BY_MONTH = """
ALTER TABLE metric_cohort_tallies RENAME TO by_day;
ALTER TABLE by_day RENAME CONSTRAINT pk_metric_cohort_tallies TO pk_by_day;
CREATE TABLE metric_cohort_tallies (
  generation BIGINT, cohort DATE, month DATE, part INTEGER, customers BIGINT, cents BIGINT,
  CONSTRAINT pk_metric_cohort_tallies PRIMARY KEY (generation, cohort, month, part));
INSERT INTO metric_cohort_tallies
SELECT generation, ('2000-01-01'::date + cohort * interval '1 month')::date,
       date_trunc('month', business_date)::date, part, sum(came), sum(amount)
FROM by_day, unnest(cohorts, customers, cents) AS counted (cohort, came, amount) GROUP BY 1, 2, 3, 4;
DROP TABLE by_day;
UPDATE analytics_runs SET plan = plan - 'cohorts_by_day';
"""


@pytest.mark.long
def test_cohorts_of_version_0020_stay_and_the_next_run_is_full(migrated_url: str, tmp_path: Path) -> None:
    books = Books(migrated_url, tmp_path, now=EVENING)
    books.open()
    books.trends("full")
    migration = Path(__file__).parents[3] / "migrations" / "versions" / "0021_cohorts_by_day.py"
    with psycopg.connect(migrated_url) as connection:
        connection.execute(BY_MONTH)
        connection.execute(runpy.run_path(str(migration))["UPGRADE"])
    books.check_series()
    assert books.trends().mode == "full"
    assert books.trends().mode == "incremental"


def test_another_time_zone_or_start_of_the_day_counts_everything_again(migrated_url: str, tmp_path: Path) -> None:
    books = Books(migrated_url, tmp_path, now=EVENING)
    books.open()
    books.trends("full")
    for rules in (
        {"timezone": "America/New_York"},
        {"business_day_start": time(15)},
        {"timezone": "Australia/Lord_Howe", "business_day_start": time(1, 30)},
    ):
        books.rules = replace(books.rules, **rules)
        zone, start = books.rules.timezone, books.rules.business_day_start.isoformat("minutes")
        settings = make_settings(migrated_url, tmp_path, TIMEZONE=zone, BUSINESS_DAY_START=start)
        run = run_inline(settings, "trends", at=books.now, mode="incremental").run
        assert (run.status, run.mode) == ("succeeded", "full")
        books.check_series()
