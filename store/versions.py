"""Versions of the kinds' models: one champion per kind is in service; the others were replaced, or did not beat it.

A training run adds its version with the decision when it has fitted: as challenger, if it is better than the champion.
The challenger becomes the champion in the transaction that publishes its results. Nothing is deleted, so that an
operator can roll back to an earlier version.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from errors import RequestError
from store import runs
from store.models import ModelVersion, Run

# Held until the transaction ends, to change the versions of a kind.
DECIDING = text("SELECT pg_advisory_xact_lock(hashtext('smartcrm.models.' || :kind))")


@dataclass(frozen=True)
class Trained:
    """The result of a training: the model, what it was trained on, and how it compares.

    `metrics` are those of champion, challenger and baseline on the same holdouts; `decision` is one sentence.
    """

    family: str
    params: Mapping[str, Any]
    trained_from: datetime | None
    trained_to: datetime
    seed: int
    data_fingerprint: str
    code_version: str
    metrics: Mapping[str, Any]
    decision: str


def champion(session: Session, kind: str) -> ModelVersion | None:
    """The version in service, or None before the first training."""
    query = select(ModelVersion).where(ModelVersion.kind == kind, ModelVersion.status == "champion")
    return session.scalars(query).first()


def numbered(session: Session, kind: str, version: int) -> ModelVersion:
    """The version of this number.

    Raises
    ------
    RequestError
        When there is none.
    """
    found = session.scalars(
        select(ModelVersion).where(ModelVersion.kind == kind, ModelVersion.version == version)
    ).first()
    if found is None:
        raise RequestError(f"There is no version {version} of {kind}.", code="model_not_found")
    return found


def of_plan(session: Session, run: Run) -> ModelVersion | None:
    """The version that computes the run's results, or None if there is none yet."""
    number = (run.plan or {}).get("champion")
    return None if number is None else numbered(session, run.kind, number)


def newest(session: Session, kind: str | None = None, limit: int = 50) -> list[ModelVersion]:
    """The newest versions, of one kind or all, newest first."""
    query = select(ModelVersion).order_by(ModelVersion.created_at.desc(), ModelVersion.version.desc()).limit(limit)
    return list(session.scalars(query if kind is None else query.where(ModelVersion.kind == kind)))


def get(session: Session, model_id: uuid.UUID) -> ModelVersion | None:
    """One version."""
    return session.get(ModelVersion, model_id)


def of_run(session: Session, run: Run) -> ModelVersion | None:
    """The version that this run has trained, or None; a repeated step finds it."""
    return session.scalars(select(ModelVersion).where(ModelVersion.run_id == run.run_id)).first()


def add(session: Session, run: Run, trained: Trained, *, better: bool) -> ModelVersion:
    """Add the result of a training run: as challenger if it is `better` than the champion of the run's plan.

    It is rejected if it is not, or if another version was put in service since the run was planned. If the same run has
    added a version before, that one is returned unchanged.
    """
    session.execute(DECIDING, {"kind": run.kind})
    known = of_run(session, run)
    if known is not None:
        return known
    compared, served, values = of_plan(session, run), champion(session, run.kind), vars(trained)
    if better and served is not None and served is not compared:
        better, values = False, values | {"decision": f"{trained.decision}; but v{served.version} was put in service"}
    _reject_challengers(session, run.kind)  # of runs that ended without a result
    last = select(func.coalesce(func.max(ModelVersion.version), 0)).where(ModelVersion.kind == run.kind)
    found = ModelVersion(
        model_id=uuid.uuid4(),
        kind=run.kind,
        version=session.scalars(last).one() + 1,
        status="challenger" if better else "rejected",
        run_id=run.run_id,
        created_at=runs.now(session),
        **values,
    )
    session.add(found)
    session.flush()
    return found


def promote_trained(session: Session, run: Run) -> None:
    """Put the run's challenger in service, in the transaction that publishes its results.

    If an operator has put another version in service since, that has rejected the challenger.
    """
    found = of_run(session, run)
    if found is not None:
        session.execute(DECIDING, {"kind": run.kind})
        session.refresh(found)
        if found.status == "challenger":
            _put_in_service(session, found)


def put_in_service(session: Session, found: ModelVersion) -> bool:
    """Make a version the champion of its kind; returns False if it is already."""
    session.execute(DECIDING, {"kind": found.kind})
    session.refresh(found)
    if found.status == "champion":
        return False
    _put_in_service(session, found)
    return True


def earlier(session: Session, kind: str) -> ModelVersion:
    """The version that was in service before the champion.

    Raises
    ------
    RequestError
        When none was.
    """
    query = select(ModelVersion).where(ModelVersion.kind == kind, ModelVersion.status == "retired")
    found = session.scalars(query.order_by(ModelVersion.promoted_at.desc()).limit(1)).first()
    if found is None:
        raise RequestError(f"No version of {kind} was in service before this one.", code="model_not_found")
    return found


def _put_in_service(session: Session, found: ModelVersion) -> None:
    before = champion(session, found.kind)
    if before is not None:
        before.status = "retired"
        session.flush()
    found.status, found.promoted_at = "champion", runs.now(session)
    session.flush()
    _reject_challengers(session, found.kind)


def _reject_challengers(session: Session, kind: str) -> None:
    waiting = (ModelVersion.kind == kind) & (ModelVersion.status == "challenger")
    session.execute(update(ModelVersion).where(waiting).values(status="rejected"))
