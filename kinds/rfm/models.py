"""RFM's tables as SQLAlchemy models.

`rfm_results` has no model: it is partitioned by generation and customer shard, and its rows are only written in bulk
(rows.py).
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Identity, Index, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from store.models import Base


class Change(Base):
    """A customer's change of segment: into one, from one to another, or out of all.

    Written in the transaction that publishes, and publishes are serialized, so `change_id` rises in commit order.
    """

    __tablename__ = "segment_changes"

    change_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[uuid.UUID]
    mobile_id: Mapped[str]
    from_segment: Mapped[str | None]
    to_segment: Mapped[str | None]
    changed_at: Mapped[datetime]
    reason: Mapped[str]

    __table_args__ = (Index("ix_segment_changes_mobile_id_change_id", "mobile_id", "change_id"),)


class PendingChange(Base):
    """A change that a shard of a full run has found; it is recorded when the run is published."""

    __tablename__ = "segment_changes_pending"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    mobile_id: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int]
    from_segment: Mapped[str | None]
    to_segment: Mapped[str | None]
    reason: Mapped[str]


class SegmentDay(Base):
    """A segment's customers and their revenue at the end of a business day, or at the last run of it.

    `run_id` is None where `smartcrm history` computed it later.
    """

    __tablename__ = "segment_history"

    business_date: Mapped[date] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    customers: Mapped[int] = mapped_column(BigInteger)
    revenue: Mapped[Decimal] = mapped_column(Numeric(16, 2))
    run_id: Mapped[uuid.UUID | None]


class SegmentFlow(Base):
    """How many customers moved from one segment ('': new) to another ('': gone) on a business day: see flows.py."""

    __tablename__ = "segment_flows"

    business_date: Mapped[date] = mapped_column(primary_key=True)
    from_segment: Mapped[str] = mapped_column(primary_key=True)
    to_segment: Mapped[str] = mapped_column(primary_key=True)
    customers: Mapped[int] = mapped_column(BigInteger)
    counted_to: Mapped[int] = mapped_column(BigInteger)
