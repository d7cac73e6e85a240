"""Terminal tables of segments with their cut points, a map's preview, and the menu matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from rich.table import Table

from cli.console import counted, out
from cli.terminal import styled
from kinds.menu.matrix import MenuMatrix
from kinds.rfm.preview import Preview
from kinds.rfm.results import CutPoints

MOVES_SHOWN = 15


def show_summary(
    rows: Sequence[Any], cut_points: Mapping[str, CutPoints] | None = None, warnings: Sequence[str] = ()
) -> None:
    """Print the segments, largest first, with sizes, revenue shares and medians, cut points and warnings."""
    table = Table(title="Customer segments", title_justify="left", caption_justify="left")
    table.add_column("Segment", no_wrap=True)
    for name in ("Customers", "Share", "", "Revenue share", "Median recency", "Median frequency", "Median monetary"):
        table.add_column(name, justify="left" if name == "" else "right")
    widest = max((row.share for row in rows), default=1)
    for row in rows:
        table.add_row(
            row.segment,
            f"{row.customers:,}",
            f"{row.share:.1%}",
            styled(("▇" * round(12 * row.share / widest), "green")),
            "-" if row.revenue_share is None else f"{row.revenue_share:.1%}",
            counted(row.median_recency_days, "day"),
            f"{row.median_frequency:,.0f}",
            f"{row.median_monetary:,.2f}",
        )
    table.caption = counted(sum(row.customers for row in rows), "customer")
    out.print(table)
    for warning in warnings:
        out.print(styled((warning, "yellow")))
    if cut_points:
        _show_cut_points(cut_points)


def _show_cut_points(found: Mapping[str, CutPoints]) -> None:
    """Print a row per measure: its cut points, and whether they are quintiles or the map's own."""
    table = Table("Cut points", "", "in", title_justify="left")
    units = {
        "recency_days": "days",
        "frequency": "purchases",
        "monetary": "money per purchase" if found["monetary"].average else "money",
    }
    for name, each in found.items():
        values = "  ".join(_number(value) for value in each.values) or "-"
        table.add_row(f"{name.replace('_days', '')} ({'own' if each.own else 'quintiles'})", values, units[name])
    out.print(table)


def _number(value: Fraction) -> str:
    return f"{float(value):,.2f}".removesuffix(".00")


def show_preview(found: Preview) -> None:
    """Print the segments under another map and as published, the largest moves, and some of the customers."""
    table = Table("Segment", title="Segments under this map", title_justify="left")
    for name in ("Customers", "Published", "", "Revenue", "Published"):
        table.add_column(name, justify="right")
    for each in found.segments:
        table.add_row(
            each.segment,
            f"{each.customers:,}",
            f"{each.published_customers:,}",
            f"{each.customers - each.published_customers:+,}",
            f"{each.revenue:,.2f}",
            f"{each.published_revenue:,.2f}",
        )
    out.print(table)
    _show_cut_points(found.cut_points)
    moves = Table("From", "To", "Customers", "Revenue", title=f"{counted(found.moved, 'customer')} would move")
    for move in found.moves[:MOVES_SHOWN]:
        moves.add_row(move.from_segment, move.to_segment or "(left out)", f"{move.customers:,}", f"{move.revenue:,.2f}")
    if len(found.moves) > MOVES_SHOWN:
        moves.caption = "more with --json"
    out.print(moves)
    sample = Table("Customer", "Recency", "Frequency", "Monetary", "R-F-M", "From", "To", title="Some of them")
    for row in found.sample:
        scores = f"{row.rfm_score} → {row.new_rfm_score or '-'}"
        values = counted(row.recency_days, "day"), f"{row.frequency:,}", f"{row.monetary:,.2f}"
        sample.add_row(row.mobile_id, *values, scores, row.from_segment, row.to_segment or "(left out)")
    if found.sample:
        out.print(sample)
    if found.unknown_ids:
        left_out = counted(found.unknown_ids, "id")
        out.print(f"{left_out} that the published map leaves out are not shown: their orders are read by the next run.")


def show_matrix(found: MenuMatrix) -> None:
    """Print items by popularity and margin, and the thresholds."""
    table = Table("Item", "Category", title="The menu matrix", title_justify="left", caption_justify="left")
    for name in ("Pieces", "Share", "Price", "Cost", "Margin" if found.by == "margin" else "Price as margin"):
        table.add_column(name, justify="right")
    table.add_column("")
    for item in found.items:
        table.add_row(
            item.name or f"item {item.item_id}",
            item.category or "",
            f"{item.quantity.normalize():,f}",
            "-" if item.share is None else f"{item.share:.1%}",
            f"{item.price:,.2f}",
            "-" if item.cost is None else f"{item.cost:,.2f}",
            "-" if item.margin is None else f"{item.margin:,.2f}",
            item.kind or "no cost",
        )
    limits = f"Popular from {found.popular_share:.2%} of the pieces on, earns well from {found.average_margin:,.2f} on."
    table.caption = f"{limits} {found.note}"
    out.print(table)
