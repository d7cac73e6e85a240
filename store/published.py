"""The published state of a kind: its run, its generation, and its ETag."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.models import Published, Run, Total


@dataclass(frozen=True)
class PublishedState:
    """The state of a kind that readers see, and the run that last wrote to it."""

    run: Run
    as_of: datetime
    generation: int
    changes_dropped_to: int
    forgotten: int  # number of erased customers, ever

    @property
    def tag(self) -> str:
        """The ETag of the published state."""
        return f"{self.run.kind}-{self.run.run_id}-{self.forgotten}"


def published(session: Session, kind: str) -> PublishedState | None:
    """The published state of this kind, or None before its first successful run."""
    forgotten = select(Total.value).where(Total.name == "forgotten").scalar_subquery()
    query = select(Published, Run, forgotten.label("forgotten")).join(Run, Run.run_id == Published.run_id)
    found = session.execute(query.where(Published.kind == kind)).first()
    if found is None:
        return None
    state: Published = found.Published
    return PublishedState(found.Run, state.as_of, state.generation, state.changes_dropped_to, int(found.forgotten or 0))
