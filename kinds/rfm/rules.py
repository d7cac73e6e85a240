"""Scores and segments as SQL, from cut points and a segment map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from analytics.scores import AVERAGE, CENTS, FREQUENCY, NO_CUSTOMERS, RECENCY, CutPoints, Point, score_expression
from analytics.segments import numbered


@dataclass(frozen=True)
class Rules:
    """The SQL scores of a row's R, F and M, and the segments of the 125 codes, as `numbers` (from 1) of `names`."""

    scores: Sequence[str]
    names: Sequence[str]
    numbers: Sequence[int]

    def columns(self) -> sql.Composed:
        """`r`, `f` and `m` of a row with recency, frequency and cents."""
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


def rules(points: CutPoints, segments: Sequence[str]) -> Rules:
    """The rules for cut points (in fifths, empty without customers) and a segment map."""
    monetary = AVERAGE if AVERAGE in points else CENTS
    scores = [score_expression(each, points.get(each, NO_CUSTOMERS)) for each in (RECENCY, FREQUENCY, monetary)]
    return Rules(scores, *numbered(segments))
