"""Our tables as SQLAlchemy models, except those of the kinds (kinds/*/models.py) and of mails (mails.py)."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, MetaData, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ACTIVE = ("pending", "running")


class Base(DeclarativeBase):
    """The declarative base, with fixed names for constraints, since migrations refer to them."""

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
    """One requested computation of one kind, and its state."""

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
    segment_names: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # result rows store their index, from 1
    named_ids: Mapped[list[list[int]]] = mapped_column(JSONB, default=list)
    # Runs of the same requests whose results this one needs: it starts once they have ended.
    waits_for: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(UUID), default=list, server_default=text("'{}'"))
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    tried_at: Mapped[datetime | None]

    joined = False  # whether the request that returned this object joined an earlier request's run

    __table_args__ = (
        # One pending run per kind (later requests join it; see inbox.py for those with waits_for), one running.
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
    """A request with its sender's id (a webhook-id, a business date); the same id always returns the same runs."""

    __tablename__ = "analytics_deliveries"

    sender: Mapped[str] = mapped_column(primary_key=True)
    delivery_id: Mapped[str] = mapped_column(primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    body: Mapped[dict[str, Any]]
    run_ids: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(UUID))


class Published(Base):
    """One row per kind: the generation that readers see, and the run that last wrote to it.

    `baseline` is the generation that the last recorded change led to, for a kind that records changes. It differs from
    `generation` only while a run with an explicit `as_of` is published, since such a run records none.
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
    """One message to one receiver about one finished run, and the state of its delivery."""

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
    """A receiver's generated key. Until `both_until` its events are signed with WEBHOOK_SECRETS as well."""

    __tablename__ = "analytics_event_keys"

    url: Mapped[str] = mapped_column(primary_key=True)
    secret: Mapped[str]
    both_until: Mapped[datetime | None]


class Night(Base):
    """The business date whose nightly runs were requested last; one row."""

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
    """A kind that is computed when the setting `KINDS` is empty. Without any row all kinds are."""

    __tablename__ = "analytics_default_kinds"

    kind: Mapped[str] = mapped_column(primary_key=True)


class Total(Base):
    """A counter, by name and labels (JSON with sorted keys)."""

    __tablename__ = "analytics_totals"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class Ledger(Base):
    """The keys of the newest rows that one part of a run has read; NULL if not stored, or if they were too many.

    `digest` tells whether these rows have changed since (source/touched.py), where the kind looks at it.
    """

    __tablename__ = "analytics_ledger"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    keys: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    digest: Mapped[str | None]


class Retired(Base):
    """A generation that is no longer published, kept until no snapshot can still read it.

    `retired_by` is the id of the transaction that replaced it.
    """

    __tablename__ = "analytics_retired"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str]
    retired_by: Mapped[int] = mapped_column(BigInteger)
