"""How values become segments: cut points and a segment map, as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from analytics.scores import MEASURES, NOBODYS, CutPoints, score_expression
from analytics.segments import numbered


@dataclass(frozen=True)
class Rules:
    """How values become segments: the SQL scores of recency, frequency and cents, and the 125 codes' segments.

    Those are `numbers`, from 1, of `names`.
    """

    scores: Mapping[str, str]
    names: Sequence[str]
    numbers: Sequence[int]

    def columns(self) -> sql.Composed:
        """`r`, `f` and `m` of a row with the three measures."""
        measures = ("recency_days", "frequency", "cents")
        return sql.SQL("{} AS r, {} AS f, {} AS m").format(*(sql.SQL(self.scores[measure]) for measure in measures))

    def segment_number(self) -> sql.Composed:
        """The segment of a row with `r`, `f` and `m`, as its number."""
        return sql.SQL("({}::int2[])[25 * r + 5 * f + m - 30]").format(sql.Literal(list(self.numbers)))

    def named(self, number: sql.Composable) -> sql.Composed:
        """The name that belongs to a segment's number."""
        return sql.SQL("({}::text[])[{}]").format(sql.Literal(list(self.names)), number)


def rules(points: CutPoints, segments: Sequence[str]) -> Rules:
    """Cut points (in fifths, none where there was no customer) and a segment map as SQL."""
    scores = {measure: score_expression(measure, points.get(measure, NOBODYS)) for measure in MEASURES}
    return Rules(scores, *numbered(segments))
