"""Our tables as SQLAlchemy models: runs, their parts, deliveries, and what is published.

`rfm_results` is not a model: it is partitioned by generation, one piece per customer shard, and its rows
only ever move in bulk (store/rfm.py).
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KINDS = ("rfm", "menu")
ACTIVE = ("pending", "running")


class Base(DeclarativeBase):
    """The registry, with names for constraints that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own form
        datetime: TIMESTAMP(timezone=True),
        dict[str, Any]: JSONB,
        str: Text,
        uuid.UUID: UUID,
    }


class Run(Base):
    """One asked-for computation of one kind; the truth about it."""

    __tablename__ = "analytics_runs"

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    kind: Mapped[str]
    mode: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")
    requested_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    as_of: Mapped[datetime | None]
    as_of_given: Mapped[bool] = mapped_column(default=False)
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    generation: Mapped[int] = mapped_column(BigInteger, Identity(always=True), unique=True)
    plan: Mapped[dict[str, Any] | None]
    counts: Mapped[dict[str, Any] | None]
    segment_names: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # what `segment_number` counts
    named_ids: Mapped[list[list[int]]] = mapped_column(JSONB, default=list)
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    tried_at: Mapped[datetime | None]

    joined = False  # whether the request that got this object joined a run that was asked for before

    __table_args__ = (
        # A run that waits takes in every later request of its kind; one that works is alone.
        Index(
            "uq_analytics_runs_waiting",
            "kind",
            unique=True,
            postgresql_where=text("status = 'pending' AND NOT as_of_given"),
        ),
        Index("uq_analytics_runs_working", "kind", unique=True, postgresql_where=text("status = 'running'")),
        Index("ix_analytics_runs_requested_at", "requested_at"),
    )


class Part(Base):
    """One task's share of a run: a customer shard, a chunk of transactions, or a daypart."""

    __tablename__ = "analytics_parts"

    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("analytics_runs.run_id", ondelete="CASCADE"), primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    lower: Mapped[str | None]
    upper: Mapped[str | None]
    sent_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    done_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None]
    error: Mapped[str | None]


class Delivery(Base):
    """A request with a sender's name for it (a webhook-id, a night): the same name always means the same runs."""

    __tablename__ = "analytics_deliveries"

    sender: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    body: Mapped[dict[str, Any]]
    run_ids: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(UUID))


class Published(Base):
    """The one row per kind that names the generation which readers see, and the run that last wrote to it.

    `baseline` is the generation that `segment_changes` leads up to. It is another one than `generation` only
    while a run with an `as_of` of its own is published, which tells no changes.
    """

    __tablename__ = "analytics_published"

    kind: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger)
    run_id: Mapped[uuid.UUID]
    as_of: Mapped[datetime]
    published_at: Mapped[datetime]
    baseline: Mapped[int | None] = mapped_column(BigInteger)
    baseline_run_id: Mapped[uuid.UUID | None]
    changes_dropped_to: Mapped[int] = mapped_column(BigInteger, default=0)


class Change(Base):
    """A customer who moved: into a segment, from one to another, or out of them all.

    Written in the transaction that publishes, one publish after another, so `change_id` rises in commit order.
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
    """A move that a shard of a full run found; it is told when the run is published."""

    __tablename__ = "segment_changes_pending"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    mobile_id: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int]
    from_segment: Mapped[str | None]
    to_segment: Mapped[str | None]
    reason: Mapped[str]


class Event(Base):
    """One message for one receiver about one finished run, and how far its delivery is."""

    __tablename__ = "analytics_events"

    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    run_id: Mapped[uuid.UUID]
    url: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(default="waiting")
    created_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    last_answer: Mapped[str | None]

    __table_args__ = (
        Index("ix_analytics_events_due", "next_attempt_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_analytics_events_created_at", "created_at"),
    )


class Total(Base):
    """A total that only rises, by name and labels (JSON, in order)."""

    __tablename__ = "analytics_totals"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class MenuTally(Base):
    """One chunk's counts of one stretch of business days and daypart; the arrays run in step, one entry per item.

    `stretch` is the first of the days, see source/window.py.

    `cents` is the items' revenue; `transactions` counts those with at least one counted line.
    """

    __tablename__ = "menu_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    stretch: Mapped[date] = mapped_column(primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True)
    transactions: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    orders: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    quantities: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    cents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MenuTotal(Base):
    """A daypart's tallies over all days and chunks of a generation; the arrays run in step."""

    __tablename__ = "menu_totals"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    transactions: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    orders: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    quantities: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    cents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MenuResult(Base):
    """One ranked item of one daypart, with the names it had when it was ranked.

    Its quantity is `units` ÷ `units_per_piece`: thousandths where the source's quantities are no integers.
    """

    __tablename__ = "menu_results"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    menu_item_id: Mapped[int] = mapped_column(BigInteger)
    menu_item_name: Mapped[str | None]
    category: Mapped[str | None]
    orders: Mapped[int] = mapped_column(BigInteger)
    units: Mapped[int] = mapped_column("quantity", BigInteger)
    units_per_piece: Mapped[int] = mapped_column("quantity_unit", server_default=text("1"))
    share: Mapped[float]
    run_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime]

    @property
    def quantity(self) -> int | Decimal:
        """Pieces, or what was weighed; an int where it is whole."""
        whole, rest = divmod(self.units, self.units_per_piece)
        return Decimal(self.units) / self.units_per_piece if rest else whole


class Retired(Base):
    """A generation that is no longer published, kept until no snapshot can still read it.

    `retired_by` is the transaction that took it out of sight.
    """

    __tablename__ = "analytics_retired"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    retired_by: Mapped[int] = mapped_column(BigInteger)
