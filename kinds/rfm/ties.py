"""Whether frequency tells the published customers apart, or most of them came equally often."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.scores import reachable_scores
from kinds.rfm.results import cut_points
from store.models import Run
from store.published import PublishedState, published

REMEDY = "See what smartcrm segments --preview visits makes of them; SEGMENT_MAP=visits uses it."


def heavy_tie(session: Session, state: PublishedState) -> str | None:
    """Why quintiles of frequency hardly tell customers apart, in one sentence; None where they do.

    That is where two fifths of them or more came as often as the ones who came least, or less, so that F lacks scores.
    """
    frequency = cut_points(state)["frequency"]
    points = frequency.values
    if frequency.own or not points or points[0] != points[1]:
        return None
    share = session.execute(text("SELECT count(*) FILTER (WHERE f_score = 1)::float / count(*) FROM rfm_segments"))
    *others, last = reachable_scores(points)
    scores = f"{', '.join(map(str, others))} or {last}"
    most = float(points[0])
    times = "once" if most == 1 else f"at most {most:g} times"
    return f"{share.scalar_one():.0%} of the customers came {times}, so that F scores only {scores}"


def warnings(session: Session, state: PublishedState) -> list[str]:
    """What to know of the published segments, each with what to do about it."""
    found = heavy_tie(session, state)
    return [f"{found}. {REMEDY}"] if found else []


def note(session: Session, run: Run) -> None:
    """Keep the warnings with a run that has just been published, in its transaction."""
    state = published(session, run.kind)
    told = warnings(session, state) if state else []
    if told:
        run.counts = (run.counts or {}) | {"warnings": told}
