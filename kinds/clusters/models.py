"""The clusters' tables as SQLAlchemy models: profiles, and names given by users.

`cluster_results` has no model: it is partitioned by generation and customer shard (rows.py).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from store.models import Base


class ClusterProfile(Base):
    """A cluster of one generation; `features` are its centre, in standard deviations."""

    __tablename__ = "cluster_profile_results"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    cluster_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    customers: Mapped[int] = mapped_column(BigInteger)
    share: Mapped[float]
    features: Mapped[dict[str, Any]]
    stability: Mapped[float]


class ClusterName(Base):
    """A cluster's name given by a user, which replaces the generated one."""

    __tablename__ = "cluster_names"

    cluster_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
