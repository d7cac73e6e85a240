"""Whether frequency tells the published customers apart, or most of them came equally often."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from analytics.scores import reachable_scores
from kinds.rfm.results import cut_points
from store.published import PublishedState


def heavy_tie(session: Session, state: PublishedState) -> str | None:
    """Why frequency hardly tells customers apart, in one sentence; None where it does.

    That is where more than two fifths of them came as often as the one who came least, so that F lacks scores.
    """
    fifths = cut_points(state).get("frequency")
    if not fifths or fifths[0] < fifths[1]:
        return None
    lowest, share = session.execute(
        text(
            "SELECT least, count(*) FILTER (WHERE frequency = least)::float / count(*)"
            " FROM rfm_segments, (SELECT min(frequency) AS least FROM rfm_segments) AS of_all GROUP BY least"
        )
    ).one()
    *others, last = reachable_scores(fifths)
    scores = f"{', '.join(map(str, others))} or {last}"
    times = "once" if lowest == 1 else f"{lowest} times"
    return f"{share:.0%} of the customers came {times}, so that F scores only {scores}"
