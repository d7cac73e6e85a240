"""The Morning page: the API's numbers and those of the orders, what has moved, and what is said without results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from statistics import mean
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.builders import plain_orders, transactions
from tests.system import fill, read, run_inline
from tests.webhook.pages.conftest import OWNER, Visitor

Visit = Callable[..., Visitor]
TODAY = date(2026, 3, 2)  # a Monday
NOON = datetime(2026, 3, 2, 12, 30, tzinfo=UTC)
YESTERDAY = TODAY - timedelta(days=1)
TOKEN = {"Authorization": f"Bearer {OWNER}"}
WEEKS = 10


def orders_on(day: date) -> int:
    """Four on a Monday to ten on a Sunday; three times as many on the last complete day."""
    return (4 + day.isoweekday() - 1) * (3 if day == YESTERDAY else 1)


def sold() -> list[tuple[Any, ...]]:
    """Every order is 7.50, at noon; every second one of a customer, of whom there are nine."""
    rows = []
    for ago in range(7 * WEEKS, -1, -1):
        day = TODAY - timedelta(days=ago)
        for number in range(orders_on(day)):
            at = datetime(day.year, day.month, day.day, 11, 30, tzinfo=UTC)
            rows.append((len(rows) + 1, f"c{number}" if number % 2 else None, "7.50", at))
    return rows


@pytest.fixture
def owner(visit: Visit) -> Visitor:
    visitor = visit(KINDS="rfm trends")
    fill(visitor.settings.database_url, {"fact_transactions": transactions(sold())})
    for kind in ("rfm", "trends"):
        assert run_inline(visitor.settings, kind, at=NOON).run.status == "succeeded"
    return visitor.login()


def api(owner: Visitor, path: str) -> Any:
    answer = owner.client.get(path, headers=TOKEN)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def test_the_last_complete_day_stands_beside_the_same_weekday_as_in_the_api(owner: Visitor) -> None:
    page = owner.get("/")
    before = [orders_on(YESTERDAY - timedelta(days=7 * number)) for number in (1, 2, 3, 4)]
    assert (orders_on(YESTERDAY), before) == (30, [10, 10, 10, 10])
    for metric, value, then in (
        ("orders", "30", "10"),
        ("revenue", "225.00", "75.00"),
        ("average_ticket", "7.50", "7.50"),
    ):
        compared = api(owner, f"/series/compare?metric={metric}&date={YESTERDAY}")
        shown = page.cards[metric]
        assert shown[1] == value and float(value) == compared["today"]["value"]
        assert f"({then})" in " ".join(shown) and float(then) == compared["last_week"]["value"]
        assert float(then) == compared["four_weeks"]["value"] == mean([float(then)] * 4)
        assert compared["year_ago"]["value"] is None and compared["until"] is None
    assert "+200.0" in " ".join(page.cards["orders"]) and "= +0.0" in " ".join(page.cards["average_ticket"])


def test_lines_have_the_days_of_the_period_and_the_page_the_hours_of_today(owner: Visitor) -> None:
    for days in ("7", "28"):
        shown = [row for row in owner.get(f"/?days={days}").rows if len(row) == 6]
        assert [row[1] for row in shown[1:]] == [
            str(orders_on(YESTERDAY - timedelta(days=ago))) for ago in range(int(days))
        ]
    so_far = owner.get("/").cards["so far orders"]
    assert so_far[1] == "4" and api(owner, "/series/compare?metric=orders")["today"]["so_far"] == 4
    assert "days" in owner.get("/?days=3", 422).text


def test_the_week_ahead_is_the_apis(owner: Visitor) -> None:
    page = owner.get("/")
    found = api(owner, "/forecasts?metric=orders&dimension=")["forecasts"][:7]
    shown = [row for row in page.rows if len(row) == 5][1:]
    assert [row[1:3] for row in shown[:7]] == [
        [f"{day['forecast']:.0f}", f"{day['low']:.0f} – {day['high']:.0f}"] for day in found
    ]
    assert shown[0][0] == "Mon, March 2"
    assert shown[7][1] == f"{sum(day['forecast'] for day in found):.0f}"


def test_an_unusual_day_is_the_first_sentence(owner: Visitor) -> None:
    with psycopg.connect(owner.settings.database_url) as connection:
        connection.execute("UPDATE metric_results SET anomaly = (metric = 'orders')")
    assert "Orders on Sun, March 1: 30, far from what is usual (10)." in owner.get("/").text


def test_a_segment_that_has_changed_within_a_week_is_told_and_leads_to_its_customers(visit: Visit) -> None:
    visitor = visit(KINDS="rfm").login()
    url = visitor.settings.database_url
    rows = [(number, f"c{number}", "5", NOON - timedelta(days=30)) for number in range(40)]
    fill(url, {"fact_transactions": transactions(rows)})
    run_inline(visitor.settings, "rfm", at=NOON - timedelta(days=7))
    rows += [(100 + number, f"d{number}", "5", NOON) for number in range(10)]
    fill(url, {"fact_transactions": transactions(rows)})
    run_inline(visitor.settings, "rfm", at=NOON)
    page = visitor.get("/")
    known = read(url, "SELECT business_date, segment, customers FROM segment_history ORDER BY 1")
    (segment,) = known[known["business_date"] < TODAY]["segment"]
    now = known[(known["business_date"] == TODAY) & (known["segment"] == segment)]["customers"].sum()
    assert f"{segment}: {now} customers, {'−' if now < 40 else '+'}{abs(now / 40 - 1):.1%}".rstrip("%") in page.text
    (link,) = [attrs["href"] for tag, attrs in page.tags if tag == "a" and "#segments" in (attrs.get("href") or "")]
    assert link == f"/customers?segment={segment.replace(' ', '+')}#segments"


def test_without_results_with_old_ones_and_after_a_failure_the_page_says_what_to_do(visit: Visit) -> None:
    visitor = visit(KINDS="rfm trends").login()
    url = visitor.settings.database_url
    assert "No daily figures are published yet" in visitor.get("/").text
    fill(url, plain_orders(3))
    assert run_inline(visitor.settings, "trends", at=datetime.now(UTC) - timedelta(hours=30)).run.status == "succeeded"
    old = visitor.get("/").text
    assert "Older than a day: Trends (1 day ago)" in " ".join(old.split())
    run = run_inline(visitor.settings, "trends").run
    assert "Older than a day" not in visitor.get("/").text
    _fail(url, run.run_id)
    assert "The last run of “Trends” has failed. The source is away." in " ".join(visitor.get("/").text.split())
    run_inline(visitor.settings, "trends")
    assert "has failed" not in visitor.get("/").text


def _fail(url: str, run_id: UUID) -> None:
    """A failed run after this one."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO analytics_runs"
            " (run_id, kind, mode, status, requested_at, finished_at, as_of_given, named_ids, error)"
            " SELECT gen_random_uuid(), kind, mode, 'failed', clock_timestamp(), clock_timestamp(), false, named_ids,"
            " 'The source is away.' FROM analytics_runs WHERE run_id = %s",
            [run_id],
        )
