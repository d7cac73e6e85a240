"""An item's rank of a week before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg

from tests.system import fill, make_settings, read, run_inline

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def put(url: str, *sold: tuple[int, datetime]) -> None:
    """More orders, of one piece of an item each."""
    with psycopg.connect(url) as connection:
        for item, at in sold:
            connection.execute(
                "INSERT INTO fact_transactions (transaction_id, mobile_id, total_amount, created_at)"
                " SELECT coalesce(max(transaction_id), 0) + 1, 'c', 5, %s FROM fact_transactions",
                [at],
            )
            connection.execute(
                "INSERT INTO fact_transaction_items (transaction_id, item_id, quantity, price)"
                " SELECT max(transaction_id), %s, 1, 5 FROM fact_transactions",
                [item],
            )


def ranks(url: str) -> dict[int, tuple[int, int | None]]:
    """Each item's rank and its previous one."""
    found = read(url, "SELECT menu_item_id, rank, previous_rank FROM menu_recommendation ORDER BY rank")
    return {
        row.menu_item_id: (row.rank, None if pd.isna(row.previous_rank) else row.previous_rank)
        for row in found.itertuples()
    }


def test_a_rank_of_a_week_before_stands_beside_that_of_today(migrated_url: str, tmp_path: Path) -> None:
    settings = make_settings(migrated_url, tmp_path)
    fill(migrated_url, {})
    put(migrated_url, (1, NOON), (1, NOON), (2, NOON))
    run_inline(settings, "menu", at=NOON + timedelta(hours=1))
    assert ranks(migrated_url) == {1: (1, None), 2: (2, None)}

    put(migrated_url, *[(2, NOON + WEEK)] * 3, (3, NOON + WEEK))
    run_inline(settings, "menu", as_of=NOON + timedelta(days=3))  # publishes, and is no state of that day
    run_inline(settings, "menu", at=NOON + timedelta(days=6, hours=1))
    assert ranks(migrated_url) == {1: (1, None), 2: (2, None)}
    run_inline(settings, "menu", at=NOON + WEEK + timedelta(hours=1))
    assert ranks(migrated_url) == {2: (1, 2), 1: (2, 1), 3: (3, None)}

    put(migrated_url, *[(3, NOON + WEEK)] * 4)
    run = run_inline(settings, "menu", mode="incremental", at=NOON + WEEK + timedelta(hours=2)).run
    assert run.mode == "incremental"
    assert ranks(migrated_url) == {3: (1, None), 2: (2, 2), 1: (3, 1)}

    run_inline(settings, "menu", at=NOON + 2 * WEEK)  # the day's last state, of the incremental run
    assert ranks(migrated_url) == {3: (1, 1), 2: (2, 2), 1: (3, 3)}
    run_inline(settings, "menu", at=NOON + 6 * WEEK)  # nothing was published in the weeks before
    assert ranks(migrated_url) == {3: (1, None), 2: (2, None), 1: (3, None)}
    kept = read(migrated_url, "SELECT DISTINCT business_date FROM menu_rank_history")
    assert len(kept) == 1
