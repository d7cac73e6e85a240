"""The tables of trends as SQLAlchemy models; each generation has its own rows.

`metric_series`, `metric_trends` and `metric_forecasts` are views of the published generation's rows.
"""

from __future__ import annotations

from datetime import date

from sqlalchemy import BigInteger, LargeBinary, SmallInteger
from sqlalchemy.dialects.postgresql import ARRAY, DOUBLE_PRECISION
from sqlalchemy.orm import Mapped, mapped_column

from store.models import Base

Reals = ARRAY(DOUBLE_PRECISION)


class MetricTally(Base):
    """What a part of a stage counted for a business day and a shard of series.

    `cells` are rows of analytics/cells.py's metric, first, second and value: four bytes with the sizes of these in
    bytes, and the rows, least significant byte first.
    """

    __tablename__ = "metric_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    shard: Mapped[int] = mapped_column(primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    stage: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    cells: Mapped[bytes] = mapped_column(LargeBinary)


class HourTally(Base):
    """What a part counted for an hour of the local clock in a business day.

    `later` is 1 where the clock shows the date after the business date.
    """

    __tablename__ = "metric_hour_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    hour: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    later: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[int] = mapped_column(BigInteger)
    cents: Mapped[int] = mapped_column(BigInteger)


class CohortTally(Base):
    """What a part's customers did on a business day, by cohort: the columns of analytics/visits.py as arrays."""

    __tablename__ = "metric_cohort_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    business_date: Mapped[date] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    cohorts: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    customers: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    cents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))


class MetricResult(Base):
    """One daily series with its forecasts, and what its weeks tell by themselves (analytics/trends.py).

    `points` are those of complete days, from `first_date` on, a NaN where there is no value; `last_points` are those of
    the days that follow. The forecasts begin on `forecast_from`. `methods` are places in analytics/forecasts.py's
    METHODS, from 1.
    """

    __tablename__ = "metric_results"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    shard: Mapped[int]
    name: Mapped[str | None]
    first_date: Mapped[date]
    points: Mapped[list[float]] = mapped_column(Reals)
    last_points: Mapped[list[float]] = mapped_column(Reals, server_default="{}")
    forecast_from: Mapped[date | None]
    forecasts: Mapped[list[float]] = mapped_column(Reals)
    lows: Mapped[list[float]] = mapped_column(Reals)
    highs: Mapped[list[float]] = mapped_column(Reals)
    methods: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    weeks: Mapped[int]
    change: Mapped[float | None]
    score: Mapped[float | None]
    variance: Mapped[float | None]
    autocorrelation: Mapped[float | None]
    season_unknown: Mapped[bool]
    anomaly: Mapped[bool]


class MetricTrend(Base):
    """A series' trend, found over all series of its generation together."""

    __tablename__ = "metric_trend_results"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[str] = mapped_column(primary_key=True)
    direction: Mapped[str]
    p_value: Mapped[float | None]
    q_value: Mapped[float | None]
