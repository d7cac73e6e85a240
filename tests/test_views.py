"""The recipes of docs/views.md on a real PostgreSQL: what each view shows, and that a run reads it by its indexes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from cli.doctor import examine
from source import reading
from tests.builders import transactions
from tests.documents import ROOT, blocks, section
from tests.system import fill, make_settings, run_inline

TEXT = (ROOT / "docs" / "views.md").read_text()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORDERS = (
    "CREATE TABLE crm.orders (order_id bigint PRIMARY KEY, phone text, total numeric, status text, paid_at timestamptz,"
    " created_at timestamptz);"
)
PAID = "'2026-03-02 12:00+00'"


@dataclass(frozen=True)
class Recipe:
    """A section of the document, a CRM for it, and the orders that its views then show; all at noon."""

    title: str
    crm: str
    shown: tuple[tuple[int, str | None, str | None], ...]
    lines: int = 0


RECIPES = [
    Recipe(
        "Orders that don't count",
        f"{ORDERS} INSERT INTO crm.orders VALUES (1, 'a', 5, 'done', {PAID}, {PAID}),"
        f" (2, 'a', 7, 'cancelled', {PAID}, {PAID}), (3, 'b', 9, 'done', NULL, {PAID}),"
        f" (4, 'b', 8, 'done', {PAID}, {PAID})",
        ((1, "a", "5"), (4, "b", "8")),
    ),
    Recipe(
        "One customer, several spellings",
        f"{ORDERS} INSERT INTO crm.orders SELECT n, phone, 5, 'done', {PAID}, {PAID} FROM unnest(ARRAY["
        "'07700 900123', '+44 7700 900123', '0044 7700-900123', '447700900123', '7700 900123', ' +1 (212) 555-0100',"
        " 'nan', ' ', '0', NULL]) WITH ORDINALITY AS t (phone, n)",
        (
            *((number, "+447700900123", "5") for number in range(1, 6)),
            (6, "+12125550100", "5"),
            *((number, None, "5") for number in range(7, 11)),
        ),
    ),
    Recipe(
        "The amount is in the payments",
        f"{ORDERS} CREATE TABLE crm.payments (order_id bigint, amount numeric, state text);"
        f" INSERT INTO crm.orders VALUES (1, 'a', 0, '', NULL, {PAID}), (2, 'b', 0, '', NULL, {PAID});"
        " INSERT INTO crm.payments VALUES (1, 5, 'captured'), (1, 2.50, 'captured'), (1, -1, 'captured'),"
        " (1, 9, 'failed')",
        ((1, "a", "6.50"), (2, "b", None)),
    ),
    Recipe(
        "Times without a zone",
        "CREATE TABLE crm.tickets (order_id bigint PRIMARY KEY, phone text, total numeric, local_time timestamp);"
        " INSERT INTO crm.tickets VALUES (1, 'a', 5, '2026-03-02 12:00')",
        ((1, "a", "5"),),
    ),
    Recipe(
        "Several stores",
        "CREATE TABLE crm.receipts (store int, receipt bigint, phone text, total numeric, created_at timestamptz);"
        " CREATE TABLE crm.receipt_lines (line_id bigint, store int, receipt bigint, product bigint, quantity int,"
        " price numeric);"
        f" INSERT INTO crm.receipts VALUES (1, 7, 'a', 5, {PAID}), (2, 7, 'a', 6, {PAID});"
        " INSERT INTO crm.receipt_lines VALUES (1, 1, 7, 3, 1, 5), (2, 2, 7, 3, 1, 6), (3, 2, 7, 4, 2, 6)",
        ((100_000_007, "a", "5"), (200_000_007, "a", "6")),
        lines=3,
    ),
]


def test_every_recipe_is_tried() -> None:
    titles = [part.split("\n", 1)[0] for part in TEXT.split("\n## ")[1:] if "```sql" in part]
    assert titles == [recipe.title for recipe in RECIPES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_shows_the_orders_as_we_read_them(migrated_url: str, tmp_path: Path, recipe: Recipe) -> None:
    with psycopg.connect(migrated_url) as connection:
        connection.execute("CREATE SCHEMA crm")
        connection.execute(recipe.crm)  # type: ignore[arg-type]
        fill(migrated_url, {})
        connection.execute("CREATE SCHEMA analytics; SET search_path = analytics, public")
        for block in blocks(section(TEXT, recipe.title), "sql"):
            connection.execute(block)  # type: ignore[arg-type]
    url = f"{migrated_url}&options=-csearch_path%3Danalytics,public"
    with reading.connect(url) as crm:
        shown = crm.execute("SELECT * FROM fact_transactions ORDER BY transaction_id").fetchall()
        assert reading.column_errors(crm, "fact_transactions")[1] == {}
        # An index of the table below serves the view's key, whatever the view makes of it.
        crm.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        plan = crm.execute(
            "EXPLAIN SELECT * FROM fact_transactions WHERE mobile_id >= 'a' AND mobile_id < 'b'"
        ).fetchall()
        by_phone = any("Index Cond" in line for (line,) in plan)
    amounts = [(number, phone, None if amount is None else Decimal(amount)) for number, phone, amount in recipe.shown]
    assert [tuple(row) for row in shown] == [(*row, NOON) for row in amounts]
    assert by_phone or recipe.title != "One customer, several spellings"
    settings = make_settings(migrated_url, tmp_path, SOURCE_DATABASE_URL=url)
    rfm, menu = (run_inline(settings, kind, as_of=NOON).run for kind in ("rfm", "menu"))
    assert rfm.status == menu.status == "succeeded" and rfm.counts and menu.counts, rfm.error
    assert rfm.counts["customers"] == len({phone for _, phone, amount in amounts if phone and amount})
    assert rfm.counts["skipped_transactions"] == sum(amount is None for *_, amount in amounts)
    with psycopg.connect(migrated_url) as connection:
        ranked = connection.execute("SELECT sum(orders) FROM menu_recommendation").fetchone()
    assert ranked == (recipe.lines or None,)
    with psycopg.connect(migrated_url) as connection:
        connection.execute("DROP SCHEMA analytics, crm CASCADE")


def found(url: str, tmp_path: Path) -> list[str]:
    reported = examine(make_settings(url, tmp_path), {})
    return [each.found for each in reported if each.subject == "fact_transactions" and each.level != "ok"]


def test_doctor_warns_of_ids_that_look_alike_and_of_those_that_stand_for_nobody(
    migrated_url: str, tmp_path: Path
) -> None:
    ids: list[Any] = ["+447700", "447700", "00447700", " 4477 00", "a b", "ab", "c", "nan", "NULL ", "0", None, ""]
    rows = [(number, each, "5.00", NOON) for number, each in enumerate(ids, start=1)]
    fill(migrated_url, {"fact_transactions": transactions(rows)})
    reported = found(migrated_url, tmp_path)
    assert any(
        each.startswith("3 transactions have an id that stands for nobody") and "such as 8:" in each
        for each in reported
    )
    assert any(
        each.startswith("2 customers come with ids that differ only in +, zeros or spaces") and "1 and" not in each[:20]
        for each in reported
    )
    fill(migrated_url, {"fact_transactions": transactions(rows[4:5] + rows[6:7])})
    assert not any("ids" in each or "nobody" in each for each in found(migrated_url, tmp_path))
