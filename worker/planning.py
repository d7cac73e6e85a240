"""Planning a run: everything that its parts need is read once and stored.

From then on a run depends on no setting, no clock and no sample, so that hosts with different settings compute the
same results for it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

import kinds
from kinds.base import Draft, Kind, steady
from settings import Settings
from source import reading, touched
from source.window import business_date_of, daily_after, future_transactions
from store import inbox, ledger, runs, versions
from store.database import reader
from store.models import Published, Run


def draft(settings: Settings, run: Run) -> Draft:
    """Plan a run: read what its parts need, and store nothing.

    No transaction on our database is open while the CRM's is read, since that may take long.

    Raises
    ------
    SmartCRMError
        When the source or a setting can't be used; the run should fail with this error.
    """
    kind = kinds.get(run.kind)
    with reading.connect(settings.source_database_url) as crm, reader(settings.database_url) as session:
        as_of = run.as_of or runs.now(session)
        session.rollback()
        plan = kind.plan(settings, crm) | _common(settings, crm, as_of)
        untrained = False
        if kinds.KINDS[run.kind].trains:
            model = versions.champion(session, run.kind)
            plan["champion"], untrained = model and model.version, model is None
            session.rollback()
        drafted = Draft(session, settings, crm, run, plan, "train" if untrained or run.mode == "train" else "full")
        drafted.plan["stages"] = [stage.name for stage in kind.stages]
        drafted.plan["future_transactions"] = future_transactions(crm, drafted.plan)
        since = None if drafted.mode == "train" else _since(session, kind, run, drafted.plan)
        session.rollback()
        if since is not None:
            changed = drafted.plan | {"since": since}
            changed["recompute_all"] = touched.recompute_all(changed)
            changed["covered_id"] = touched.covered_after(changed)
            changed["inline"] = touched.is_small(crm, changed)
            refresh = replace(drafted, plan=changed, mode="incremental")
            parts = kind.refresh(refresh)
            if parts is not None:
                return replace(refresh, parts=parts)
        return replace(drafted, parts=kind.parts(drafted))


def start(session: Session, run: Run, drafted: Draft) -> None:
    """Store a run's plan and its parts."""
    run.mode = drafted.mode
    runs.start(session, run, drafted.plan, drafted.parts, touched.as_of(drafted.plan))
    kinds.get(run.kind).prepare(session, run, drafted.parts)


def _common(settings: Settings, crm: reading.Connection, as_of: datetime) -> dict[str, Any]:
    today = business_date_of(as_of, settings.timezone, settings.business_day_start)
    return {
        "as_of": as_of.isoformat(),
        "timezone": settings.timezone,
        "business_day_start": settings.business_day_start.isoformat("minutes"),
        "business_date": today.isoformat(),
        "daily_after": daily_after(today).isoformat(),
        "source_is_ours": settings.source_is_ours,
        "source": reading.identity(crm),
        "covered_id": touched.covered(crm),
    }


def _since(session: Session, kind: Kind, run: Run, plan: dict[str, Any]) -> dict[str, Any] | None:
    """The published state that an incremental run starts from; None if the run has to be full."""
    published = session.get(Published, run.kind)
    last = session.get(Run, published.run_id) if published else None
    if run.mode != "incremental" or run.as_of_given or published is None or last is None or last.as_of_given:
        return None
    if published.as_of > touched.as_of(plan) or steady(last.plan, kind.of_one_run) != steady(plan, kind.of_one_run):
        return None
    assert last.plan is not None
    return {
        "generation": published.generation,
        "as_of": published.as_of.isoformat(),
        "business_date": last.plan["business_date"],
        "daily_after": last.plan.get("daily_after"),
        "covered_id": last.plan["covered_id"],
        "ledger": last.generation if ledger.is_known(session, last.generation) else None,
        "named_ids": inbox.named_since(session, run, published),
    }
