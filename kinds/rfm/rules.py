"""Scores and segments as SQL, from cut points and a segment map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from analytics.scores import AVERAGE, CENTS, FREQUENCY, NO_CUSTOMERS, RECENCY, CutPoints, Point, score_expression
from analytics.segments import numbered
from source.window import day_of, today


@dataclass(frozen=True)
class Rules:
    """The SQL scores of a row's R, F and M, and the segments of the 125 codes, as `numbers` (from 1) of `names`."""

    scores: Sequence[str]
    names: Sequence[str]
    numbers: Sequence[int]

    def columns(self) -> sql.Composed:
        """`r`, `f` and `m` of a row with last day, frequency and cents."""
        return sql.SQL("{} AS r, {} AS f, {} AS m").format(*map(sql.SQL, self.scores))

    def segment_number(self) -> sql.Composed:
        """The segment of a row with `r`, `f` and `m`, as its number."""
        return sql.SQL("({}::int2[])[25 * r + 5 * f + m - 30]").format(sql.Literal(list(self.numbers)))

    def named(self, number: sql.Composable) -> sql.Composed:
        """The name of a segment's number."""
        return sql.SQL("({}::text[])[{}]").format(sql.Literal(list(self.names)), number)


def measures(plan: Mapping[str, Any]) -> tuple[str, str, str]:
    """The measures that R, F and M score in a run."""
    return RECENCY, FREQUENCY, plan.get("monetary", CENTS)


def own_cut_points(plan: Mapping[str, Any]) -> dict[str, list[Point]]:
    """The segment map's own cut points in a run, by measure; the other measures use quintiles."""
    return dict(plan.get("own_cut_points", {}))


def day_of_rules(plan: Mapping[str, Any], before: Mapping[str, Any]) -> int:
    """The day on which the cut points of an earlier state apply to today's customers, to find why one has moved.

    Quintiles of recency are cut points of last days, so they apply on their own day, and who moves with the next day's
    has been passed by a cut point. Own ones are in days before today, so who passes one has stayed away.
    """
    return (
        day_of(before["business_date"])
        if RECENCY not in own_cut_points(plan) and "business_date" in before
        else (today(plan))
    )


def rules(points: CutPoints, segments: Sequence[str], today: int) -> Rules:
    """The rules for cut points (in fifths, empty without customers), a segment map and a business date."""
    monetary = AVERAGE if AVERAGE in points else CENTS
    scores = [score_expression(each, points.get(each, NO_CUSTOMERS), today) for each in (RECENCY, FREQUENCY, monetary)]
    return Rules(scores, *numbered(segments))
