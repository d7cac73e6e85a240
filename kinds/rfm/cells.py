"""How many customers each of the 125 R-F-M codes has, and their revenue: what segments' totals are summed from.

Kept with the run that publishes, so that a reader of totals reads no customers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from psycopg import sql
from sqlalchemy.orm import Session

from kinds.rfm import groups
from store import progress, runs
from store.database import driver
from store.models import Run
from store.published import PublishedState

_COUNT_GROUPS = sql.SQL(
    "SELECT r_score, f_score, m_score, segment_number, overdue, cluster_id, count(*), sum(cents) FROM {}"
    " GROUP BY r_score, f_score, m_score, segment_number, overdue, cluster_id"
)
_COUNT = sql.SQL(
    "SELECT r_score, f_score, m_score, count(*), sum(cents) FROM {}"
    " GROUP BY r_score, f_score, m_score ORDER BY r_score, f_score, m_score"
)


@dataclass(frozen=True)
class Total:
    """Customers and their revenue in cents, of one segment or one pair of scores."""

    customers: int
    cents: int

    @property
    def revenue(self) -> Decimal:
        """In money."""
        return Decimal(self.cents) / 100

    @property
    def per_customer(self) -> Decimal:
        """Revenue ÷ customers, to the cent."""
        return (self.revenue / self.customers).quantize(Decimal("0.01")) if self.customers else Decimal(0)

    def __add__(self, other: Total) -> Total:
        return Total(self.customers + other.customers, self.cents + other.cents)


@dataclass(frozen=True)
class Cell:
    """One R-F-M code's total."""

    r_score: int
    f_score: int
    m_score: int
    total: Total


def of_part(session: Session, piece: sql.Identifier) -> tuple[dict[str, int], Counter[groups.Group]]:
    """A shard's customers and cents of each code, as its part keeps them, and its customers of each group."""
    kept: Counter[str] = Counter()
    grouped: Counter[groups.Group] = Counter()
    for r, f, m, *group, customers, cents in driver(session).execute(_COUNT_GROUPS.format(piece)).fetchall():
        kept[f"customers_{r}{f}{m}"] += customers
        kept[f"cents_{r}{f}{m}"] += int(cents)
        grouped[tuple(group)] += customers
    return dict(kept), grouped


def note(session: Session, state: PublishedState) -> None:
    """Keep the totals with the run that has just been published, in its transaction.

    A full run's parts have counted their rows, and an incremental run has added its changes. Where an older version has
    computed some of it, the rows are counted.
    """
    run = state.run
    kept = (run.counts or {}).get("cells") or _of_parts(session, run)
    if sum(customers for *_, customers, _ in kept) != (run.counts or {})["customers"]:
        kept = _counted(session, _published_rows(state.generation))
    run.counts = (run.counts or {}) | {"cells": kept}


def _of_parts(session: Session, run: Run) -> list[list[int]]:
    totals: Counter[str] = Counter()
    for part in progress.parts(session, run, "score"):
        totals.update(part.counts or {})
    codes = sorted(name.removeprefix("customers_") for name in totals if name.startswith("customers_"))
    return [[*map(int, code), totals[f"customers_{code}"], totals[f"cents_{code}"]] for code in codes]


def changed(kept: Iterable[Sequence[int]], changes: Iterable[Sequence[int]]) -> list[list[int]]:
    """Kept totals with changes of customers and cents added, in order of the codes."""
    totals: dict[tuple[int, ...], Total] = {}
    for *code, customers, cents in (*kept, *changes):
        place = tuple(code)
        totals[place] = totals.get(place, Total(0, 0)) + Total(customers, cents)
    return [[*code, total.customers, total.cents] for code, total in sorted(totals.items()) if total.customers]


def note_published(session: Session, state: PublishedState) -> None:
    """Count again what is published, after a customer was removed from it."""
    run = runs.published_run(session, "rfm")
    run.counts = (run.counts or {}) | {"cells": _counted(session, _published_rows(state.generation))}


def cells(session: Session, state: PublishedState) -> list[Cell]:
    """The published codes that have customers; counted now where an older version has published."""
    kept = (state.run.counts or {}).get("cells")
    rows = _counted(session, _published_rows(state.generation)) if kept is None else kept
    return [Cell(r, f, m, Total(customers, cents)) for r, f, m, customers, cents in rows]


def by_segment(state: PublishedState, found: Iterable[Cell]) -> dict[str, Total]:
    """Each segment's total, most customers first; segments without customers are left out."""
    names: Sequence[str] = (state.run.plan or {})["segments"]
    totals: dict[str, Total] = {}
    for cell in found:
        name = names[25 * cell.r_score + 5 * cell.f_score + cell.m_score - 31]
        totals[name] = totals.get(name, Total(0, 0)) + cell.total
    return dict(sorted(totals.items(), key=lambda each: (-each[1].customers, each[0])))


def by_recency_and_frequency(found: Iterable[Cell]) -> dict[tuple[int, int], Total]:
    """The totals of each pair of R and F scores that has customers."""
    totals: dict[tuple[int, int], Total] = {}
    for cell in found:
        pair = cell.r_score, cell.f_score
        totals[pair] = totals.get(pair, Total(0, 0)) + cell.total
    return totals


def _published_rows(generation: int) -> sql.Composed:
    return sql.SQL("(SELECT * FROM rfm_results WHERE generation = {}) AS published").format(sql.Literal(generation))


def _counted(session: Session, rows: sql.Composable) -> list[list[int]]:
    return [[int(value) for value in row] for row in driver(session).execute(_COUNT.format(rows))]
