"""A source database to which a test adds orders, and the same rows for the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from settings import Settings
from tests import oracle
from tests.builders import items, menu_env, menu_items, segment_map, transactions
from tests.oracle import Rules
from tests.system import fill, make_settings, menu_on, menu_recommendation, read, rfm_segments, run_inline

EVENING = datetime(2025, 10, 25, 18, tzinfo=UTC)  # the night in which London's clocks go back


DISHES = range(1, 6)


@dataclass
class Restaurant:
    """Orders in `source_url`, or in `url` if they are in our own database; every change is committed."""

    url: str
    home: Path
    source_url: str = ""
    now: datetime = EVENING
    rules: Rules = field(default_factory=lambda: Rules(as_of=EVENING, timezone="Europe/London"))
    sold: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    lines: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    quantity: str = "int"
    menu: dict[int, tuple[str | None, str | None]] = field(default_factory=dict)

    def open(self) -> None:
        fill(self.orders_url, {}, quantity=self.quantity)
        with psycopg.connect(self.orders_url) as connection:
            connection.execute("ALTER TABLE fact_transactions ADD PRIMARY KEY (transaction_id)")

    @property
    def orders_url(self) -> str:
        return self.source_url or self.url

    def sell(self, number: int, customer: str | None, amount: str, at: datetime | None, *dishes: int) -> None:
        """Add or replace a transaction, with a line per item."""
        self.sold[number] = (number, customer, amount, at)
        with psycopg.connect(self.orders_url) as connection:
            connection.execute(
                "INSERT INTO fact_transactions VALUES (%s, %s, %s, %s) ON CONFLICT (transaction_id) DO UPDATE SET"
                " mobile_id = excluded.mobile_id, total_amount = excluded.total_amount,"
                " created_at = excluded.created_at",
                self.sold[number],
            )
            for dish in dishes:
                line = max(self.lines, default=0) + 1
                quantity = 1 + dish % 2 if self.quantity == "int" else Decimal("0.3505") * dish
                self.lines[line] = (number, dish, quantity, "2.505")
                connection.execute(
                    "INSERT INTO fact_transaction_items (id, transaction_id, item_id, quantity, price)"
                    " VALUES (%s, %s, %s, %s, %s)",
                    (line, *self.lines[line]),
                )

    def remove(self, which: Callable[[int, str | None], bool]) -> list[int]:
        """Delete transactions and their lines; returns their ids."""
        gone = [number for number, (_, customer, _, _) in self.sold.items() if which(number, customer)]
        self.sold = {number: row for number, row in self.sold.items() if number not in gone}
        self.lines = {line: row for line, row in self.lines.items() if row[0] not in gone}
        with psycopg.connect(self.orders_url) as connection:
            for table in ("fact_transaction_items", "fact_transactions"):
                query = sql.SQL("DELETE FROM {} WHERE transaction_id = ANY(%s)").format(sql.Identifier(table))
                connection.execute(query, [gone])
        return gone

    def move_lines(self, number: int, other: int) -> None:
        """Move all lines of a transaction to another one."""
        self.lines = {line: (other, *row[1:]) if row[0] == number else row for line, row in self.lines.items()}
        with psycopg.connect(self.orders_url) as connection:
            connection.execute(
                "UPDATE fact_transaction_items SET transaction_id = %s WHERE transaction_id = %s", (other, number)
            )

    def name(self, dish: int, name: str | None, category: str | None = None) -> None:
        """Set an item's name and category."""
        self.menu[dish] = (name, category)
        with psycopg.connect(self.orders_url) as connection:
            connection.execute("DELETE FROM dim_menu_items WHERE item_id = %s", [dish])
            connection.execute("INSERT INTO dim_menu_items VALUES (%s, %s, 1, %s)", (dish, name, category))

    def set_menu(self, **rules: Any) -> None:
        """Set how the menu is ranked from now on, and the costs of items 1 to 5."""
        self.rules = replace(self.rules, **rules)
        with psycopg.connect(self.orders_url) as connection:
            connection.execute("DELETE FROM dim_menu_items")
            for row in menu_items(self.rules, DISHES).itertuples(index=False):
                connection.execute("INSERT INTO dim_menu_items VALUES (%s, %s, %s, %s, %s)", row)

    def set_dayparts(self, parts: tuple[Any, ...]) -> None:
        self.rules = replace(self.rules, dayparts=parts)
        with psycopg.connect(self.orders_url) as connection:
            connection.execute("DELETE FROM dim_menu_daytimes")
            for number, start, end in parts:
                connection.execute("INSERT INTO dim_menu_daytimes VALUES (%s, 'part', %s, %s)", (number, start, end))

    @property
    def settings(self) -> Settings:
        source = {"SOURCE_DATABASE_URL": self.source_url} if self.source_url else {}
        (self.home / "map.toml").write_text(segment_map(self.rules))
        rules = {"TIMEZONE": "Europe/London", "RFM_SHARDS": "3", "SEGMENT_MAP": str(self.home / "map.toml")}
        rules |= {"BUSINESS_DAY_START": self.rules.business_day_start.isoformat("minutes")}
        rules |= {"RFM_LOOKBACK_DAYS": str(self.rules.rfm_lookback_days)}
        rules |= {"MENU_LOOKBACK_DAYS": str(self.rules.menu_lookback_days)} | menu_env(self.rules)
        return make_settings(self.url, self.home, **rules, **source)

    def refresh(self, mode: str = "incremental", named: tuple[int, int] | None = None) -> set[str]:
        """Run both kinds now; returns their modes."""
        modes = set()
        for kind in ("rfm", "menu"):
            run = run_inline(self.settings, kind, at=self.now, mode=mode, named_ids=named).run
            assert run.status == "succeeded", run.error
            modes.add(run.mode)
        return modes

    def check(self) -> None:
        """Compare every published row with the oracle."""
        rules = replace(self.rules, as_of=self.now)
        sold = transactions(list(self.sold.values()))
        segments = rfm_segments(self.url)
        segments["monetary"] = [Decimal(value) for value in segments["monetary"]]
        oracle.compare_rfm(segments, oracle.rfm(sold, rules))
        lines = items(list(self.lines.values()))
        oracle.compare_menu(menu_recommendation(self.url), oracle.menu(sold, lines, rules))
        self.check_kept()
        for day, weekdays in (("weekday", range(1, 6)), ("weekend", (6, 7)), (str(self.now.isoweekday()), ())):
            expected = oracle.menu(sold, lines, rules, weekdays or (self.now.isoweekday(),))
            oracle.compare_menu(menu_on(self.url, day), expected)

    def check_kept(self) -> None:
        """Compare what refreshes keep of the customers with a count of them."""
        published = "generation = (SELECT generation FROM analytics_published WHERE kind = 'rfm')"
        kept = read(
            self.url,
            "SELECT measure, value, sum(number)::bigint"
            f" FROM rfm_counts, unnest(measured, customers) AS t (value, number) WHERE {published} GROUP BY 1, 2",
        )
        counted = read(
            self.url,
            f"SELECT 'frequency', frequency, count(*) FROM rfm_results WHERE {published} GROUP BY 1, 2"
            f" UNION ALL SELECT 'recency_days', last_day, count(*) FROM rfm_results WHERE {published} GROUP BY 1, 2",
        )
        assert set(kept.itertuples(index=False, name=None)) == set(counted.itertuples(index=False, name=None))
        groups = read(
            self.url,
            "SELECT segment_number, overdue, cluster_id, customers FROM rfm_groups"
            f" WHERE customers <> 0 AND {published}",
        )
        counted = read(
            self.url,
            f"SELECT segment_number, overdue, cluster_id, count(*) FROM rfm_results WHERE {published} GROUP BY 1, 2, 3",
        )
        assert set(groups.itertuples(index=False, name=None)) == set(counted.itertuples(index=False, name=None))
        cells = read(
            self.url,
            "SELECT counts -> 'cells' AS cells FROM analytics_runs JOIN analytics_published AS p USING (run_id)"
            " WHERE p.kind = 'rfm'",
        ).cells[0]
        counted = read(
            self.url,
            "SELECT r_score, f_score, m_score, count(*), sum(cents)::bigint FROM rfm_results"
            f" WHERE {published} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
        assert cells == [list(row) for row in counted.itertuples(index=False)]

    def check_names(self) -> None:
        """Check that every ranked item has its current name and category, in all dayparts."""
        ranked = read(
            self.url,
            "SELECT menu_item_id, menu_item_name, category FROM menu_results"
            " WHERE generation = (SELECT generation FROM analytics_published WHERE kind = 'menu')",
        )
        for item, *shown in ranked.itertuples(index=False):
            assert tuple(shown) == self.menu.get(item, (None, None)), item
