"""The storage that a thousand incremental runs leave behind."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from settings import Settings
from tests.store.test_retention import age, drop_old, settings  # noqa: F401  # a fixture
from tests.system import read, run_inline


@pytest.mark.long
def test_storage_does_not_grow_with_incremental_runs(
    settings: Settings,  # noqa: F811
    long: bool,
    record_property: Callable[[str, object], None],
) -> None:
    each = 125 if long else 15  # of both kinds, in each quarter
    for kind in ("rfm", "menu"):
        run_inline(settings, kind)
    rows, megabytes = [], []
    for _ in range(4):
        for _ in range(each):
            _change_an_order(settings.database_url)
            for kind in ("rfm", "menu"):
                assert run_inline(settings, kind, mode="incremental").run.mode == "incremental"
        age(settings.database_url, 40)
        drop_old(settings.database_url)
        rows.append(_rows(settings.database_url))
        megabytes.append(_megabytes(settings.database_url))
    record_property("storage", (8 * each, *megabytes[2:]))
    assert rows[0] == rows[1] == rows[2] == rows[3]
    # By then the free space that updates leave, in our tables and in the catalog, is as large as it gets.
    assert megabytes[3] < 1.02 * megabytes[2]


def _change_an_order(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE fact_transactions SET total_amount = total_amount + 0.01"
            " WHERE transaction_id = (SELECT max(transaction_id) FROM fact_transactions)"
        )


def _rows(url: str) -> dict[str, int]:
    tables = read(url, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    return {name: int(read(url, f'SELECT count(*) AS n FROM "{name}"').n[0]) for name in tables.relname}


def _megabytes(url: str) -> float:
    """Once the dead rows are marked as free, as autovacuum does within a minute."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return float(row[0]) / 1e6
