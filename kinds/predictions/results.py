"""Reading published predictions: customers page by page, one customer, and sums per segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.orm import Session

from store.models import ModelVersion
from store.published import PublishedState
from store.queries import Query, exported

PREDICTION_COLUMNS = (
    "mobile_id",
    "p_alive",
    "p_order_30d",
    "p_order_90d",
    "expected_orders_90d",
    "expected_value_90d",
    "next_order_from",
    "next_order_median",
    "next_order_to",
    "overdue_since",
    "model_version",
    "run_id",
    "computed_at",
)


@dataclass(frozen=True)
class Filter:
    """A filter of customers by probability, overdue or not, and segment; None does not filter."""

    min_p_order_90d: float | None = None
    max_p_order_90d: float | None = None
    overdue: bool | None = None
    segment: str | None = None


def too_little_data(state: PublishedState) -> dict[str, Any] | None:
    """The amount of data that a model needs and the amount there is, if that is too little; else None."""
    found: dict[str, Any] | None = (state.run.counts or {}).get("too_little_data")
    return found


def predictions(
    session: Session, wanted: Filter = Filter(), *, after: str | None = None, limit: int | None = None
) -> Sequence[Row[Any]]:
    """Published customers in order of their ids, from the one that follows `after`."""
    conditions = {
        "mobile_id > :after": after,
        "p_order_90d >= :least": wanted.min_p_order_90d,
        "p_order_90d <= :most": wanted.max_p_order_90d,
        "(overdue_since IS NOT NULL) = :overdue": wanted.overdue,
        "mobile_id IN (SELECT mobile_id FROM rfm_segments WHERE segment = :segment)": wanted.segment,
    }
    where = " AND ".join(condition for condition, value in conditions.items() if value is not None)
    query = (
        f"SELECT {', '.join(PREDICTION_COLUMNS)} FROM customer_predictions"  # noqa: S608  # our own names
        f" {'WHERE ' + where if where else ''} ORDER BY mobile_id LIMIT :limit"
    )
    values = {
        "after": after,
        "least": wanted.min_p_order_90d,
        "most": wanted.max_p_order_90d,
        "overdue": wanted.overdue,
        "segment": wanted.segment,
        "limit": limit,
    }
    return session.execute(text(query), values).all()


def export(wanted: Filter) -> Query:
    """All customers of the filter, in order of their ids."""
    return exported(
        "customer_predictions",
        PREDICTION_COLUMNS,
        "mobile_id",
        {
            "p_order_90d >= {}": wanted.min_p_order_90d,
            "p_order_90d <= {}": wanted.max_p_order_90d,
            "(overdue_since IS NOT NULL) = {}": wanted.overdue,
            "mobile_id IN (SELECT mobile_id FROM rfm_segments WHERE segment = {})": wanted.segment,
        },
    )


def customer(session: Session, state: PublishedState, mobile_id: str) -> Row[Any] | None:
    """One published customer, with the history behind the prediction: x, t_x and t in days, and the segment."""
    query = (
        f"SELECT {', '.join(f'p.{name}' for name in PREDICTION_COLUMNS)}, r.x, r.t_x, r.t AS seen,"  # noqa: S608  # our own
        " (SELECT segment FROM rfm_segments WHERE mobile_id = :id) AS segment"
        " FROM customer_predictions AS p JOIN prediction_results AS r USING (mobile_id)"
        " WHERE r.generation = :generation AND p.mobile_id = :id"
    )
    return session.execute(text(query), {"id": mobile_id, "generation": state.generation}).first()


def by_segment(session: Session) -> Sequence[Row[Any]]:
    """Per segment, and for all (NULL): customers, overdue customers, and sums of the expectations; largest first.

    A customer without a published segment counts for all only.
    """
    return session.execute(
        text(
            "SELECT segment, count(*) AS customers, count(overdue_since) AS overdue,"
            " avg(p_order_90d) AS mean_p_order_90d, sum(expected_orders_90d) AS expected_orders_90d,"
            " sum(expected_value_90d) AS expected_value_90d"
            " FROM customer_predictions LEFT JOIN rfm_segments USING (mobile_id)"
            " GROUP BY GROUPING SETS ((segment), ()) HAVING segment IS NOT NULL OR grouping(segment) = 1"
            " ORDER BY grouping(segment) DESC, customers DESC, segment"
        )
    ).all()


def last_month(session: Session, state: PublishedState) -> dict[str, Any] | None:
    """The last check of the model in service for the past thirty days; None if there is none."""
    version = (state.run.plan or {}).get("champion")
    query = select(ModelVersion).where(ModelVersion.kind == state.run.kind, ModelVersion.version == version)
    model = session.scalars(query).first()
    found: dict[str, Any] | None = None if model is None else model.metrics.get("drift", {}).get("last_month")
    return found
