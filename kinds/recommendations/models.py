"""The tables of recommendations as SQLAlchemy models.

`recommendation_profiles` has no model, since its rows are only moved in bulk (profile_rows.py); nor have the staging
tables of runs (staging.py).
"""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from store.models import Base


class DaypartOrders(Base):
    """Orders of items in one bucket of business days and one daypart, as one part of a run counted them.

    `daypart` is the daypart's place in the run's plan, the last one for the time between dayparts; `day_bucket` is the
    first of the days, see source/window.py; `items` and `orders` are parallel arrays.
    """

    __tablename__ = "recommendation_orders"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daypart: Mapped[int] = mapped_column(primary_key=True)
    day_bucket: Mapped[date] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    transactions: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    orders: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class StoredTallies(Base):
    """A slice of the tallies of a part's customers, or of all of them (part -1)."""

    __tablename__ = "recommendation_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    slice: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class StoredOutcomes(Base):
    """The outcomes of one fold of a run's backtest."""

    __tablename__ = "recommendation_outcomes"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    fold: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class StoredModel(Base):
    """A generation's item codes, in order, the parameters of its model, the published methods, and the model."""

    __tablename__ = "recommendation_models"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    item_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    parameters: Mapped[dict[str, Any] | None]
    gate: Mapped[dict[str, Any] | None]
    data: Mapped[bytes | None]


class SegmentPick(Base):
    """One of the items that a segment orders most in a daypart."""

    __tablename__ = "recommendation_segments"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    menu_item_id: Mapped[int] = mapped_column(BigInteger)
    orders: Mapped[int] = mapped_column(BigInteger)
    share: Mapped[float]
    lift: Mapped[float]
    run_id: Mapped[uuid.UUID]
    created_at: Mapped[datetime]


class MethodQuality(Base):
    """The quality of a method's lists of ten in a full run's backtest."""

    __tablename__ = "recommendation_quality"

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    method: Mapped[str] = mapped_column(primary_key=True)
    customers: Mapped[int]
    recall: Mapped[float]
    recall_error: Mapped[float]
    ndcg: Mapped[float]
    hit_rate: Mapped[float]
    repeat_share: Mapped[float]
    coverage: Mapped[float]
    z: Mapped[float]
    published: Mapped[bool]
