"""The work of each kind of part: load, compute, save, in the transaction of its claim.

aggregate   one customer shard's orders to one row per customer         (RFM, first)
score       one customer shard's scores and segments                    (RFM, second)
tally       one chunk of transactions to counts per day, daypart, item  (menu, first)
rank        one daypart's items, ranked                                 (menu, second)

An incremental run has the first stage alone, as one part over what was touched; publishing merges it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from analytics import tallies
from analytics.menu import rank_items
from analytics.scores import MEASURES, NOBODYS, CutPoints, score_expression
from analytics.segments import numbered
from analytics.tallies import Calendar
from errors import SmartCRMError
from settings import Settings
from source import orders, reading
from source.window import day_start, stretches
from store import changes, menu, rfm, runs
from store.models import Part, Run
from store.parts import Claim
from store.rfm import Rules

KIND_OF = {"aggregate": "rfm", "score": "rfm", "tally": "menu", "rank": "menu"}
STAGES = {"rfm": ("aggregate", "score"), "menu": ("tally", "rank")}  # of a full run


class StagingLostError(SmartCRMError):
    """The shard's staging rows are gone, in a crash of PostgreSQL; `advance` has the shard read again."""

    code = "staging_lost"


def aggregate(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Fill the shard's staging table, or that of the touched customers."""
    run, url = claimed.run, settings.source_database_url
    if run.mode == "incremental":
        return rfm.aggregate_touched(claimed.session, url, run)
    return rfm.aggregate(claimed.session, url, run, claimed.part)


def score(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Build the shard's piece of the results from its staging table and the run's cut points; note who moved.

    Raises
    ------
    StagingLostError
        When the staging table no longer holds what was counted.
    """
    run, part = claimed.run, claimed.part
    assert run.plan is not None and run.counts is not None
    scored = rfm.score(claimed.session, run, part, rules(run.counts["cut_points"], run.plan["segments"]))
    expected = runs.part_counts(claimed.session, run, "aggregate", part.part)["customers"]
    if scored != expected:
        raise StagingLostError(f"Shard {part.part} has {scored} of {expected} customers staged.")
    note_moves(claimed.session, run, part)
    return {"scored": scored}


def note_moves(session: Session, run: Run, part: Part | None) -> None:
    """Note who moved in a scored shard, or, for none, in all of a run whose shards do not part the baseline."""
    assert run.plan is not None
    baseline = run.plan.get("baseline")
    # A run that an older version has planned knows of shards alone.
    if baseline and baseline.get("by_shard", True) == (part is not None):
        assert run.counts is not None
        now = rules(run.counts["cut_points"], run.plan["segments"])
        before = rules(baseline["cut_points"], baseline["segments"])
        same = baseline["same_settings"]
        changes.find(session, run, part, now, baseline["generation"], before, same_settings=same)


def rules(points: CutPoints, segments: Sequence[str]) -> Rules:
    """Cut points (in fifths, none where there was no customer) and a segment map as SQL."""
    scores = {measure: score_expression(measure, points.get(measure, NOBODYS)) for measure in MEASURES}
    return Rules(scores, *numbered(segments))


def tally(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Count the chunk's orders, or those of the touched business days, block by block, and store what they come to."""
    run, part, url = claimed.run, claimed.part, settings.source_database_url
    assert run.plan is not None
    calendar = Calendar.of(run.plan["dayparts"], day_start(run.plan), stretches(run.plan))
    found = tallies.total([tallies.tally(*block, calendar) for block in orders.blocks(url, run.plan, part)])
    menu.save_tallies(claimed.session, run, part, found.items, found.transactions)
    left_out = dict(found.left_out)
    if run.mode == "full" and part.upper is None:  # the last range, and the one that is open
        left_out["lines_without_transaction"] += orders.lines_without_id(url)
    return left_out


def rank(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Rank the daypart's items and store the best, with their names."""
    assert claimed.run.plan is not None
    items, transactions = menu.daypart_tallies(claimed.session, claimed.run, claimed.part.part)
    menu.save_totals(claimed.session, claimed.run.generation, claimed.part.part, items, transactions)
    ranked = rank_items(items, transactions, claimed.run.plan["top_n"])
    names = item_names(settings, ranked["menu_item_id"])
    menu.save_ranks(claimed.session, claimed.run, claimed.part.part, ranked, names)
    return {"transactions": transactions}


def item_names(settings: Settings, items: Iterable[int]) -> dict[int, tuple[str | None, str | None]]:
    """The items' names and categories, as the CRM has them now."""
    with reading.connect(settings.source_database_url) as crm:
        return reading.item_names(crm, [int(item) for item in items])


WORK = {"aggregate": aggregate, "score": score, "tally": tally, "rank": rank}


def do(settings: Settings, claimed: Claim) -> None:
    """Do a claimed part and keep what it counted."""
    claimed.part.counts = WORK[claimed.part.stage](settings, claimed)
