"""Planning a run: everything that its parts will need, read once and written down.

After this a run depends on no setting, no clock and no sample: two hosts with different settings still
compute one run alike.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from analytics import dayparts
from analytics.dayparts import Daypart
from analytics.segments import load_segments, numbered
from settings import Settings
from source import reading, touched
from source.ranges import has_index, key_ranges
from source.window import business_date_of, daily_after
from store import menu, rfm, runs
from store.models import Part, Published, Run

# What of a plan tells one run of a kind from the next, where nothing that a result follows from has changed.
OF_THE_MOMENT = ("as_of", "covered_id", "last_id", "owners", "since", "everything", "few", "stretches", "baseline")


def start(session: Session, settings: Settings, run: Run) -> None:
    """Plan a waiting run and set it running.

    Raises
    ------
    SmartCRMError
        When the source, the dayparts or the segment map can't serve; the run should fail with it.
    """
    as_of = run.as_of or runs.now(session)
    with reading.connect(settings.source_database_url) as crm:
        plan = {"rfm": _rfm, "menu": _menu}[run.kind](settings, crm) | _common(settings, crm, as_of)
        since = _since(session, run, plan)
        if since is not None:
            run.mode, plan["since"] = "incremental", since
            plan["everything"] = touched.everything(crm, plan)
            plan["few"] = touched.few(crm, plan)
            parts = {"rfm": _touched_customers, "menu": _touched_stretches}[run.kind](session, crm, run, plan)
        else:
            run.mode = "full"
            parts = {"rfm": _shards, "menu": _chunks}[run.kind](settings, crm, run, plan)
            if run.kind == "rfm":
                plan["baseline"] = _baseline(session, crm, run, plan)
    runs.start(session, run, plan, parts, as_of)
    if run.kind == "rfm":
        run.segment_names, _ = numbered(plan["segments"])
        if run.mode == "full":
            rfm.create_generation(session, run, sorted({part.part for part in parts}))


def _common(settings: Settings, crm: reading.Connection, as_of: datetime) -> dict[str, Any]:
    today = business_date_of(as_of, settings.timezone, settings.business_day_start)
    return {
        "as_of": as_of.isoformat(),
        "timezone": settings.timezone,
        "business_day_start": settings.business_day_start.isoformat("minutes"),
        "business_date": today.isoformat(),
        "daily_after": daily_after(today).isoformat(),
        "source_is_ours": settings.source_database_url == settings.database_url,
        "source": reading.identity(crm),
    } | touched.covered(crm)


def _since(session: Session, run: Run, plan: dict[str, Any]) -> dict[str, Any] | None:
    """The published state that an incremental run can build on; None where the run has to be full."""
    published = session.get(Published, run.kind)
    last = session.get(Run, published.run_id) if published else None
    if run.mode == "full" or run.as_of_given or published is None or last is None or last.as_of_given:
        return None
    if published.as_of > touched.as_of(plan) or _steady(last.plan) != _steady(plan):
        return None
    assert last.plan is not None
    return {
        "generation": published.generation,
        "as_of": published.as_of.isoformat(),
        "covered_id": last.plan["covered_id"],
        "last_id": last.plan.get("last_id"),
        "owners": last.plan.get("owners"),
        "named_ids": runs.named_since(session, run, published),
    }


def _steady(plan: dict[str, Any] | None) -> dict[str, Any]:
    """What results follow from, as it comes back from the database."""
    kept = {name: value for name, value in (plan or {}).items() if name not in OF_THE_MOMENT}
    return dict(json.loads(json.dumps(kept)))


def _baseline(session: Session, crm: reading.Connection, run: Run, plan: dict[str, Any]) -> dict[str, Any] | None:
    """What the moves of a full run are told against: the generation, and the rules that it was scored by.

    `by_shard` says whether the shards' bounds part our customers, too: another database may put ids in another order.
    """
    published = session.get(Published, "rfm")
    last = session.get(Run, published.baseline_run_id) if published and published.baseline_run_id else None
    if run.as_of_given or published is None or last is None or last.plan is None or last.counts is None:
        return None
    before, now = _steady(last.plan), _steady(plan)
    that_day = {"business_date": None, "daily_after": None}
    return {
        "generation": published.baseline,
        "cut_points": last.counts["cut_points"],
        "segments": last.plan["segments"],
        "same_settings": before | that_day == now | that_day,
        "by_shard": plan["source_is_ours"] and reading.sorts_as_its_database(crm, "fact_transactions", "mobile_id"),
    }


def _touched_customers(session: Session, crm: reading.Connection, run: Run, plan: dict[str, Any]) -> list[Part]:
    return [Part(run_id=run.run_id, stage="aggregate", part=0)]


def _touched_stretches(session: Session, crm: reading.Connection, run: Run, plan: dict[str, Any]) -> list[Part]:
    if plan["everything"]:
        plan["stretches"] = menu.stretches(session, plan["since"]["generation"])
    else:
        plan["stretches"] = touched.stretches(crm, plan)
    wanted = plan["everything"] or plan["stretches"]
    return [Part(run_id=run.run_id, stage="tally", part=0)] if wanted else []


def _rfm(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    return {
        "lookback_days": settings.rfm_lookback_days,
        "shards": settings.rfm_shards,
        "columns": {"fact_transactions": reading.column_types(crm, "fact_transactions")},
        "segments": load_segments(settings.segment_map),
    }


def _menu(settings: Settings, crm: reading.Connection) -> dict[str, Any]:
    tables = ("fact_transactions", "fact_transaction_items", "dim_menu_items")
    columns = {table: reading.column_types(crm, table) for table in tables}
    # Integers' plans name no unit, and so equal those of the versions that knew none.
    weighed = columns["fact_transaction_items"]["quantity"] not in reading.INTEGERS
    return ({"quantity_unit": 1000} if weighed else {}) | {
        "lookback_days": settings.menu_lookback_days,
        "top_n": settings.top_n,
        "columns": columns,
        "dayparts": [
            {"daytime_id": daypart.daytime_id, "label": daypart.label, "windows": daypart.windows}
            for daypart in read_dayparts(crm)
        ],
    }


def read_dayparts(crm: reading.Connection) -> Sequence[Daypart]:
    """The CRM's dayparts, checked, or the default ones where it has none."""
    found = [Daypart(row.daytime_id, row.label, row.start, row.end) for row in reading.daytimes(crm)]
    dayparts.check(found)
    return found or dayparts.DEFAULT_DAYPARTS


def _shards(settings: Settings, crm: reading.Connection, run: Run, plan: dict[str, Any]) -> list[Part]:
    ranges = _ranges(crm, run, "mobile_id", settings.rfm_shards)
    return [
        Part(run_id=run.run_id, stage=stage, part=number, lower=lower, upper=upper)
        for stage in ("aggregate", "score")
        for number, (lower, upper) in enumerate(ranges)
    ]


def _chunks(settings: Settings, crm: reading.Connection, run: Run, plan: dict[str, Any]) -> list[Part]:
    ranges = _ranges(crm, run, "transaction_id", None)
    return [
        Part(run_id=run.run_id, stage="tally", part=number, lower=lower, upper=upper)
        for number, (lower, upper) in enumerate(ranges)
    ] + [Part(run_id=run.run_id, stage="rank", part=daypart["daytime_id"]) for daypart in plan["dayparts"]]


def _ranges(crm: reading.Connection, run: Run, column: str, wanted: int | None) -> list[tuple[str | None, str | None]]:
    indexed = has_index(crm, "fact_transactions", column)
    if run.kind == "menu":
        indexed = indexed and has_index(crm, "fact_transaction_items", column)
    return key_ranges(crm, column, wanted, indexed=indexed)
