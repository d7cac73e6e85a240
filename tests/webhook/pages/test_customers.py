"""The Customers page: numbers as the API's and as worked out from the rows, and a list that follows its filter."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from kinds import upkeep
from kinds.rfm import listing
from store.database import transaction
from tests.builders import transactions
from tests.system import fill, read, rfm_segments, run_inline
from tests.webhook.pages.conftest import OWNER, Visitor

Visit = Callable[..., Visitor]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOKEN = {"Authorization": f"Bearer {OWNER}"}


def money(amount: Decimal | float) -> str:
    return f"{amount:,.2f}"


@pytest.fixture
def owner(visit: Visit) -> Visitor:
    """The owner of a restaurant with 120 customers, whose ids hold what URLs and pages have to quote."""
    visitor = visit(KINDS="rfm")
    sold = [
        (100 * place + time, customer(place), f"{1 + place * 7 % 50}.25", NOON - timedelta(days=place * 13 % 90 + time))
        for place in range(120)
        for time in range(1 + place * 5 % 7)
    ]
    fill(visitor.settings.database_url, {"fact_transactions": transactions(sold)})
    run_inline(visitor.settings, "rfm", at=NOON)
    return visitor.login()


def customer(place: int) -> str:
    return f"+44 {place:03}/<ä&>" if place % 2 else f"c{place:03}"


def api(owner: Visitor, path: str, status: int = 200) -> Any:
    answer = owner.client.get(path, headers=TOKEN)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json(force=True)


def test_before_the_first_run_the_page_says_what_to_do(visit: Visit) -> None:
    visitor = visit().login()
    assert "Request a run on the Operations page" in visitor.get("/customers").text
    visitor.get("/customers/c1", 404)
    assert visitor.client.get("/exports/rfm_segments.csv").status_code == 404


def test_segments_have_the_rows_counts_and_revenue(owner: Visitor) -> None:
    rows = rfm_segments(owner.settings.database_url)
    page = owner.get("/customers")
    counts, sums = Counter(rows["segment"]), defaultdict(Decimal)
    for row in rows.itertuples():
        sums[row.segment] += row.monetary
    whole = sum(sums.values(), Decimal(0))
    summary = {each["segment"]: each for each in api(owner, "/rfm_segments/summary")["segments"]}
    assert summary.keys() == counts.keys()
    for segment, customers in counts.items():
        shown = page.row(segment)
        each = Decimal(sums[segment] / customers).quantize(Decimal("0.01"))
        expected = [segment, str(customers), f"{customers / 1.2:.1f}", money(sums[segment])]
        assert [
            cell.split("\u00a0")[0].split(" ")[0] if place == 2 else cell for place, cell in enumerate(shown[:4])
        ] == expected
        assert shown[5] == money(each)
        assert summary[segment]["customers"] == customers
        assert summary[segment]["share"] == pytest.approx(customers / 120)
        assert float(summary[segment]["revenue_share"]) == pytest.approx(float(sums[segment] / whole))
    assert page.row("All") == ["All", "120", "", money(whole), "", money(whole / 120), "–", "–"]


def test_the_heat_map_counts_each_pair_of_scores(owner: Visitor) -> None:
    rows = rfm_segments(owner.settings.database_url)
    page = owner.get("/customers")
    for frequency in range(1, 6):
        counts = [int(((rows["r_score"] == r) & (rows["f_score"] == frequency)).sum()) for r in range(1, 6)]
        assert page.row(f"F {frequency}") == [f"F {frequency}", *map(str, counts)]


def test_totals_follow_incremental_runs_and_erased_customers(owner: Visitor) -> None:
    url = owner.settings.database_url
    before = Decimal(owner.get("/customers").row("All")[3].replace(",", ""))
    fill_more = f"INSERT INTO fact_transactions VALUES (99999, 'fresh', 1000.50, '{NOON.isoformat()}')"
    execute(url, fill_more)
    state = run_inline(owner.settings, "rfm", at=NOON + timedelta(minutes=1), mode="incremental")
    assert state.run.mode == "incremental"
    assert owner.get("/customers").row("All")[1:4] == ["121", "", money(before + Decimal("1000.50"))]
    with transaction(url) as session:
        upkeep.forget(session, "fresh")
    assert owner.get("/customers").row("All")[1:4] == ["120", "", money(before)]
    execute(url, "UPDATE analytics_runs SET counts = counts - 'cells'")  # as an older version published
    assert owner.get("/customers").row("All")[1:4] == ["120", "", money(before)]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)  # type: ignore[arg-type]


def listed(owner: Visitor, path: str) -> list[str]:
    """All ids of a list, page by page, by the page's own links."""
    ids: list[str] = []
    while path:
        page = owner.get(path)
        shown = [row for row in page.rows if len(row) == 6 and len(row[5]) == 3 and row[5].isdigit()]
        ids += [row[0] for row in shown]
        path = next((str(attrs["href"]) for tag, attrs in page.tags if tag == "a" and attrs.get("rel") == "next"), "")
    return ids


PREFIXES = ("+44 0", "c1", "+44 001/<ä&>", "%", "nobody", "\ud7ff", "\U0010ffff")
# No base64, null, a pair of numbers, NaN, an object, and a number beyond all amounts.
CURSORS = ("x", "bnVsbA", "WzEsMl0", "WyJuYW4iLCAiYSJd", "e30", "WyIxZTMwIiwgImEiXQ")
ORDERS = {
    "mobile_id": lambda row: (row.mobile_id,),
    "-monetary": lambda row: (-row.monetary, row.mobile_id),
    "-frequency": lambda row: (-row.frequency, row.mobile_id),
    "recency_days": lambda row: (row.recency_days, row.mobile_id),
}


def test_page_api_and_csv_list_the_same_customers_in_the_same_order(owner: Visitor) -> None:
    for sort in ORDERS:
        rows = sorted(rfm_segments(owner.settings.database_url).itertuples(), key=ORDERS[sort])
        assert listed(owner, f"/customers?sort={sort}") == [row.mobile_id for row in rows]
        found, cursor = [], ""
        while cursor is not None:
            answer = api(owner, f"/rfm_segments?sort={sort}&limit=17&cursor={cursor}")
            found, cursor = found + answer["segments"], answer["next_cursor"]
        exported = csv.DictReader(
            io.StringIO(owner.client.get(f"/exports/rfm_segments.csv?sort={sort}").get_data(as_text=True))
        )
        assert [row["mobile_id"] for row in found] == [row.mobile_id for row in rows]
        for one, same in zip(exported, found, strict=True):
            for name in ("computed_at", "first_purchase_at"):
                assert datetime.fromisoformat(one.pop(name)) == datetime.fromisoformat(same.pop(name))
            assert one == {name: str(value) for name, value in same.items()}


def test_a_prefix_and_a_segment_filter_alike_everywhere(owner: Visitor) -> None:
    for prefix in PREFIXES:
        rows = rfm_segments(owner.settings.database_url)
        for segment in (None, rows["segment"][0]):
            wanted = rows[rows["mobile_id"].str.startswith(prefix) & ((rows["segment"] == segment) | (segment is None))]
            query = f"mobile_id_prefix={quote(prefix)}" + (f"&segment={quote(segment.upper())}" if segment else "")
            ids = sorted(wanted["mobile_id"])
            assert listed(owner, f"/customers?{query}") == ids
            assert [row["mobile_id"] for row in api(owner, f"/rfm_segments?{query}&limit=1000")["segments"]] == ids
            exported = owner.client.get(f"/exports/rfm_segments.csv?{query}", headers=TOKEN).get_data(as_text=True)
            assert [row["mobile_id"] for row in csv.DictReader(io.StringIO(exported))] == ids


def test_an_order_over_too_many_customers_is_refused_by_name(owner: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_SORTED", 100)
    for path in ("/rfm_segments?sort=-monetary", "/exports/rfm_segments.csv?sort=-monetary"):
        assert "filter for fewer" in api(owner, path, 422)["detail"]
    assert "filter for fewer" in owner.get("/customers?sort=-monetary", 422).text
    page = owner.get("/customers")
    assert "An order other than by id needs a filter that leaves at most 100." in page.text
    assert not [attrs for tag, attrs in page.tags if tag == "a" and "sort=-monetary" in (attrs.get("href") or "")]
    assert len(api(owner, "/rfm_segments?sort=-monetary&mobile_id_prefix=c")["segments"]) == 60


def test_moves_are_counted_per_business_date_as_they_are_published(owner: Visitor) -> None:
    url = owner.settings.database_url
    before = owner.get("/customers").rows
    assert "No customer has moved in this period." in owner.get("/customers").text
    more = f"SELECT 70000 + n, 'c00' || n, 500, timestamptz '{NOON}' FROM generate_series(0, 9) AS n"
    execute(url, f"INSERT INTO fact_transactions {more}")
    run_inline(owner.settings, "rfm", at=NOON + timedelta(days=8), mode="incremental")
    changes = read(url, "SELECT from_segment, to_segment FROM segment_changes")
    known = Counter((row.from_segment or "new customer", row.to_segment or "gone") for row in changes.itertuples())
    shown = [row for row in owner.get("/customers?days=7").rows if len(row) == 3 and row[2].isdigit()]
    assert shown and all(known[row[0], row[1]] == int(row[2]) for row in shown)
    assert [int(row[2]) for row in shown] == [count for _, count in known.most_common(12)]
    totals = {row[0]: int(row[1]) for row in before if len(row) == 8 and row[0] not in ("Segment", "All")}
    for row in owner.get("/customers").rows:
        if len(row) == 8 and row[0] not in ("Segment", "All"):
            gained = int(row[1]) - totals.get(row[0], 0)
            assert row[6:] == [f"{gained:+}".replace("-", "−") if gained else "0", "–"]
    end = NOON + timedelta(days=18)
    later = f"SELECT 75000 + n, 'c0' || n, 900, timestamptz '{end}' FROM generate_series(10, 40) AS n"
    execute(url, f"INSERT INTO fact_transactions {later}")
    run_inline(owner.settings, "rfm", at=end)
    assert "No customer has moved" not in owner.get("/customers?days=28").text
    days = read(url, "SELECT DISTINCT business_date FROM segment_flows ORDER BY 1")["business_date"]
    assert list(days) == [(NOON + timedelta(days=ago)).date() for ago in (8, 18)]
    total = read(url, "SELECT (SELECT sum(customers) FROM segment_flows), (SELECT count(*) FROM segment_changes)")
    assert total.iloc[0, 0] == total.iloc[0, 1]


def test_a_cursor_that_no_page_gave_is_refused(owner: Visitor) -> None:
    for cursor in CURSORS:
        for sort in ("-monetary", "-frequency"):
            api(owner, f"/rfm_segments?sort={sort}&cursor={cursor}", 422)
            owner.get(f"/customers?sort={sort}&cursor={cursor}", 422)


def test_one_customers_page_has_the_values_scores_and_moves(owner: Visitor) -> None:
    url = owner.settings.database_url
    row = next(row for row in rfm_segments(url).itertuples() if "/" in row.mobile_id and row.r_score < 3)
    path = f"/customers/{quote(row.mobile_id, safe='')}"
    page = owner.get(path)
    for shown in (row.mobile_id, f"The scores are R {row.r_score}, F {row.f_score} and M {row.m_score}.", row.segment):
        assert shown in page.text
    assert money(row.monetary) in page.text and "No move is known" in page.text
    execute(url, f"INSERT INTO fact_transactions VALUES (80000, '{row.mobile_id}', 500, '{NOON.isoformat()}')")
    run_inline(owner.settings, "rfm", at=NOON + timedelta(minutes=1), mode="incremental")
    (now,) = rfm_segments(url).query("mobile_id == @row.mobile_id")["segment"]
    assert now != row.segment
    assert owner.get(path).rows[1][1:] == [row.segment, now, "own purchases"]
    owner.get("/customers/nobody", 404)


def test_unknown_segments_and_orders_are_refused_by_a_page(owner: Visitor) -> None:
    assert "there are" in owner.get("/customers?segment=Nobody", 422).text
    assert "sort" in owner.get("/customers?sort=name", 422).text


def test_few_customers_are_called_few(visit: Visit) -> None:
    visitor = visit(KINDS="rfm", LOCALE="de").login()
    fill(visitor.settings.database_url, {"fact_transactions": transactions([(1, "a", "5", NOON)])})
    run_inline(visitor.settings, "rfm", at=NOON)
    page = visitor.get("/customers")
    assert "Bisher gibt es wenige Kunden" in page.text and page.row("Alle")[1] == "1"
