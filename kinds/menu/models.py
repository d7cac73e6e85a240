"""The menu's tables as SQLAlchemy models: tallies, totals and ranks."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Numeric, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from store.models import Base


class MenuTally(Base):
    """One chunk's counts for one bucket of business days and one daypart; the arrays have one entry per item.

    `day_bucket` is the first of its days, which share a weekday: see source/window.py.

    `cents` is the items' revenue; `margins`, in cents, are stored if the menu is ranked by them; `transactions` is the
    number of transactions with at least one counted line.
    """

    __tablename__ = "menu_tallies"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    day_bucket: Mapped[date] = mapped_column(primary_key=True)
    chunk: Mapped[int] = mapped_column(primary_key=True)
    transactions: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    orders: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    quantities: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    cents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    margins: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))


class MenuTotal(Base):
    """A daypart's tallies over all days and chunks of a generation; the arrays have one entry per item."""

    __tablename__ = "menu_totals"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    transactions: Mapped[int] = mapped_column(BigInteger)
    items: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    orders: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    quantities: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    cents: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    margins: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))


class MenuItem(Base):
    """A counted item's name, price and cost in the CRM's menu when the last run was published."""

    __tablename__ = "menu_items"

    generation: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    item_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    menu_item_name: Mapped[str | None]
    category: Mapped[str | None]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    cost: Mapped[Decimal | None] = mapped_column(Numeric)


class MenuResult(Base):
    """One ranked item of one daypart, with the names that it had when the last run was published.

    Its quantity is `units` ÷ `units_per_piece`: thousandths if the source's quantities are not integers.
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
    previous_rank: Mapped[int | None]

    @property
    def quantity(self) -> int | Decimal:
        """Pieces or weight; an int if it is whole."""
        whole, rest = divmod(self.units, self.units_per_piece)
        return Decimal(self.units) / self.units_per_piece if rest else whole


class MenuRank(Base):
    """What rank an item had on an earlier business day."""

    __tablename__ = "menu_rank_history"

    business_date: Mapped[date] = mapped_column(primary_key=True)
    daytime_id: Mapped[int] = mapped_column(primary_key=True)
    menu_item_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    rank: Mapped[int]
