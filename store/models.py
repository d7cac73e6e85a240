"""Our tables as SQLAlchemy models: runs, their parts, deliveries, events, and which generation is published.

Each kind's own tables are in its models.py.
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, MetaData, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

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
    segment_names: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text)
    )  # the names that result rows keep as numbers, from 1
    named_ids: Mapped[list[list[int]]] = mapped_column(JSONB, default=list)
    # The runs of kinds that this one needs, of the same requests: it starts once they have ended.
    waits_for: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(UUID), default=list, server_default=text("'{}'"))
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    tried_at: Mapped[datetime | None]

    joined = False  # whether the request that got this object joined a run that was asked for before

    __table_args__ = (
        # A run that waits takes in every later request of its kind, as far as what it waits for allows; one that
        # works is alone.
        Index(
            "uq_analytics_runs_waiting",
            "kind",
            unique=True,
            postgresql_where=text("status = 'pending' AND NOT as_of_given AND waits_for = '{}'"),
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

    `baseline` is the generation that the kind's recorded changes lead up to, for a kind that records them. It is
    another one than `generation` only while a run with an `as_of` of its own is published, which records none.
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


class EventKey(Base):
    """A receiver's generated key; until `both_until` its events are signed with WEBHOOK_SECRETS as well."""

    __tablename__ = "analytics_event_keys"

    url: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    both_until: Mapped[datetime | None]


class Night(Base):
    """The business day whose nightly runs were asked for last; one row."""

    __tablename__ = "analytics_nights"

    single: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    asked_for: Mapped[date]
    trained_for: Mapped[datetime | None]  # the time of RETRAIN_SCHEDULE whose trainings were requested last

    __table_args__ = (CheckConstraint("single", name="ck_analytics_nights_single"),)


class ModelVersion(Base):
    """A trained version of a kind's model: its parameters, what it was trained on, and why it is in service or not."""

    __tablename__ = "analytics_models"

    model_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    version: Mapped[int]  # rising per kind
    status: Mapped[str]
    family: Mapped[str]
    params: Mapped[dict[str, Any]]
    trained_from: Mapped[datetime | None]
    trained_to: Mapped[datetime]
    seed: Mapped[int] = mapped_column(BigInteger)
    data_fingerprint: Mapped[str]
    code_version: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    decision: Mapped[str]
    run_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime]
    promoted_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("kind", "version"),
        CheckConstraint(
            "status IN ('challenger', 'champion', 'retired', 'rejected')", name="ck_analytics_models_status"
        ),
        Index("uq_analytics_models_champion", "kind", unique=True, postgresql_where=text("status = 'champion'")),
    )


class DefaultKind(Base):
    """A kind that is computed where the setting `KINDS` is empty; no row: all are."""

    __tablename__ = "analytics_default_kinds"

    kind: Mapped[str] = mapped_column(primary_key=True)


class Total(Base):
    """A total that only rises, by name and labels (JSON, in order)."""

    __tablename__ = "analytics_totals"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class Ledger(Base):
    """The keys of the newest rows that one part of a run read; NULL where it has not said, or they were too many."""

    __tablename__ = "analytics_ledger"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    keys: Mapped[list[str] | None] = mapped_column(ARRAY(Text))


class Retired(Base):
    """A generation that is no longer published, kept until no snapshot can still read it.

    `retired_by` is the transaction that took it out of sight.
    """

    __tablename__ = "analytics_retired"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    retired_by: Mapped[int] = mapped_column(BigInteger)
