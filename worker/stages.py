"""The work of each kind of part: load, compute, save, in the transaction of its claim.

aggregate   one customer shard's orders to one row per customer         (RFM, first)
score       one customer shard's scores and segments                    (RFM, second)
tally       one chunk of transactions to counts per day, daypart, item  (menu, first)
rank        one daypart's items, ranked                                 (menu, second)
"""

from __future__ import annotations

from analytics.menu import rank_items
from analytics.scores import MEASURES, score_expression
from errors import SmartCRMError
from settings import Settings
from store import menu, rfm, runs, source
from store.parts import Claim

KIND_OF = {"aggregate": "rfm", "score": "rfm", "tally": "menu", "rank": "menu"}
STAGES = {"rfm": ("aggregate", "score"), "menu": ("tally", "rank")}


class StagingLostError(SmartCRMError):
    """The shard's staging rows are gone, in a crash of PostgreSQL; `advance` has the shard read again."""

    code = "staging_lost"


def aggregate(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Fill the shard's staging table."""
    return rfm.aggregate(claimed.session, settings.source_database_url, claimed.run, claimed.part)


def score(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Build the shard's piece of the results from its staging table and the run's cut points.

    Raises
    ------
    StagingLostError
        When the staging table no longer holds what was counted.
    """
    run, part = claimed.run, claimed.part
    assert run.plan is not None and run.counts is not None
    nobody = [0, 0, 0, 0]
    points = run.counts["cut_points"]
    expressions = {measure: score_expression(measure, points.get(measure, nobody)) for measure in MEASURES}
    scored = rfm.score(claimed.session, run, part, expressions, run.plan["segments"])
    expected = runs.part_counts(claimed.session, run, "aggregate", part.part)["customers"]
    if scored != expected:
        raise StagingLostError(f"Shard {part.part} has {scored} of {expected} customers staged.")
    return {"scored": scored}


def tally(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Store the chunk's tallies."""
    return menu.tally(claimed.session, settings.source_database_url, claimed.run, claimed.part)


def rank(settings: Settings, claimed: Claim) -> dict[str, int]:
    """Rank the daypart's items and store the best, with their names."""
    assert claimed.run.plan is not None
    items, transactions = menu.daypart_tallies(claimed.session, claimed.run, claimed.part.part)
    ranked = rank_items(items, transactions, claimed.run.plan["top_n"])
    with source.connect(settings.source_database_url) as crm:
        names = source.item_names(crm, [int(item) for item in ranked["menu_item_id"]])
    menu.save_ranks(claimed.session, claimed.run, claimed.part.part, ranked, names)
    return {"transactions": transactions}


WORK = {"aggregate": aggregate, "score": score, "tally": tally, "rank": rank}


def do(settings: Settings, claimed: Claim) -> None:
    """Do a claimed part and keep what it counted."""
    claimed.part.counts = WORK[claimed.part.stage](settings, claimed)
