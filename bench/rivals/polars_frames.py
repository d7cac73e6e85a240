"""Polars: Arrow from PostgreSQL over ADBC, lazy queries on all processors, Arrow back."""

from __future__ import annotations

import polars as pl

from bench.rivals import adbc
from bench.rivals.rules import BUSINESS_DATE, DAY_START, DAYPART_STARTS, SEGMENTS, TIMEZONE, TOP_N

FIFTHS = (0.2, 0.4, 0.6, 0.8)


def rfm(url: str, table: str) -> None:
    """Group by customer, compute the cut points, score."""
    orders = pl.from_arrow(adbc.read(url, adbc.RFM_ROWS))
    assert isinstance(orders, pl.DataFrame)
    purchase = pl.col("cents") >= 1
    last = pl.col("created_at").filter(purchase).max()
    customers = (
        orders.lazy()
        .group_by("mobile_id")
        .agg(last.alias("last"), purchase.sum().cast(pl.Int32).alias("frequency"), pl.col("cents").sum())
        .filter(pl.col("frequency") > 0)
        .with_columns(
            recency_days=(
                pl.lit(BUSINESS_DATE)
                - (pl.col("last").dt.convert_time_zone(TIMEZONE).dt.replace_time_zone(None) - DAY_START).dt.date()
            )
            .dt.total_days()
            .cast(pl.Int32)
        )
        .collect()
    )
    scored = customers.with_columns(
        r=5 - _below(customers, "recency_days"),
        f=1 + _below(customers, "frequency"),
        m=1 + _below(customers, "cents"),
    )
    code = 25 * pl.col("r").cast(pl.Int32) + 5 * pl.col("f") + pl.col("m") - 31
    result = scored.select(
        "mobile_id",
        "recency_days",
        "frequency",
        "cents",
        r_score="r",
        f_score="f",
        m_score="m",
        rfm_score=(100 * pl.col("r").cast(pl.Int32) + 10 * pl.col("f") + pl.col("m")).cast(pl.String),
        segment=pl.lit(pl.Series(SEGMENTS)).gather(code),
    )
    adbc.keep_rfm(url, table, result.to_arrow(compat_level=pl.CompatLevel.oldest()))


def _below(customers: pl.DataFrame, measure: str) -> pl.Expr:
    """The number of the measure's cut points strictly below a value."""
    points = [customers[measure].quantile(fifth, interpolation="linear") for fifth in FIFTHS]
    return pl.sum_horizontal((pl.col(measure) > point).cast(pl.Int16) for point in points)


def menu(url: str, table: str) -> None:
    """Find each transaction's daypart, join the lines, count and rank."""
    orders = pl.from_arrow(adbc.read(url, adbc.MENU_ORDERS))
    lines = pl.from_arrow(adbc.read(url, adbc.MENU_LINES))
    assert isinstance(orders, pl.DataFrame) and isinstance(lines, pl.DataFrame)
    starts, ids = zip(*DAYPART_STARTS, strict=True)
    local = pl.col("created_at").dt.convert_time_zone(TIMEZONE)
    minute = local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute().cast(pl.Int32)
    place = pl.lit(pl.Series(starts, dtype=pl.Int32)).search_sorted(minute, side="right") - 1
    timed = orders.lazy().select("transaction_id", daytime_id=pl.lit(pl.Series(ids, dtype=pl.Int32)).gather(place))
    sold = (
        lines.lazy()
        .join(timed, on="transaction_id")
        .group_by("daytime_id", "menu_item_id")
        .agg(pl.len().alias("orders"), pl.col("quantity").sum(), pl.col("cents").sum())
    )
    baskets = (
        timed.join(lines.lazy(), on="transaction_id", how="semi")
        .group_by("daytime_id")
        .agg(pl.len().alias("transactions"))
    )
    ranked = (
        sold.sort(
            "daytime_id", "orders", "quantity", "cents", "menu_item_id", descending=[False, True, True, True, False]
        )
        .with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("daytime_id"))
        .filter(pl.col("rank") <= TOP_N)
        .join(baskets, on="daytime_id")
        .select(
            "daytime_id",
            "rank",
            pl.col("menu_item_id").cast(pl.Int64),
            pl.col("orders").cast(pl.Int64),
            pl.col("quantity").cast(pl.Int64),
            share=pl.col("orders") / pl.col("transactions"),
        )
        .collect()
    )
    adbc.keep_menu(url, table, ranked.to_arrow())
