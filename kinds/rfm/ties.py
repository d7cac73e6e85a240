"""Detecting that most published customers have the same frequency, so that F hardly separates them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from analytics.scores import reachable_scores
from kinds.rfm import cells
from kinds.rfm.results import cut_points
from store.published import PublishedState

REMEDY = "See what smartcrm segments --preview visits makes of them; SEGMENT_MAP=visits uses it."


def heavy_tie(session: Session, state: PublishedState) -> str | None:
    """The warning that quintiles of frequency hardly separate customers; None if they do.

    It applies if at least two fifths of the customers have the lowest frequency, so that some F scores are unused.
    """
    frequency = cut_points(state)["frequency"]
    points = frequency.values
    if frequency.own or not points or points[0] != points[1]:
        return None
    counted = [(cell.f_score, cell.total.customers) for cell in cells.cells(session, state)]
    share = sum(customers for score, customers in counted if score == 1) / sum(customers for _, customers in counted)
    *others, last = reachable_scores(points)
    scores = f"{', '.join(map(str, others))} or {last}"
    most = float(points[0])
    times = "once" if most == 1 else f"at most {most:g} times"
    return f"{share:.0%} of the customers came {times}, so that F scores only {scores}"


def warnings(session: Session, state: PublishedState) -> list[str]:
    """Warnings about the published segments, each with what to do."""
    found = heavy_tie(session, state)
    return [f"{found}. {REMEDY}"] if found else []


def note(session: Session, state: PublishedState) -> None:
    """Store the warnings with the run that has just been published, in its transaction."""
    found = warnings(session, state)
    if found:
        state.run.counts = (state.run.counts or {}) | {"warnings": found}
