"""What kinds have in common whose model is fitted to one row per customer: predictions and clusters.

A full run divides the customers into shards. A shard's orders become one row per customer; one part fits the model, or
checks the one in service; then each shard's results are computed and the new generation is published. An incremental
run reads and computes only the changed customers, as one part, with the model in service.

    shards ─► read ─► fit ─► compute ─► publish
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from sqlalchemy.orm import Session

from kinds.base import Draft, Kind, summed
from kinds.generations import Generations
from settings import Settings
from source.ranges import has_index, key_ranges
from store import ledger, progress, publishing, runs
from store.models import Part, Run


class FittedKind(Kind):
    """A kind with three stages: one reads a shard, one fits, and one computes a shard's results."""

    tables: ClassVar[Generations]
    holds_customers = True

    def parts(self, draft: Draft) -> list[Part]:
        """For each shard, customers between two ids, a part to read and one to compute; and one part that fits."""
        reads, fits, computes = (stage.name for stage in self.stages)
        indexed = has_index(draft.crm, "fact_transactions", "mobile_id")
        ranges = key_ranges(draft.crm, "mobile_id", draft.settings.rfm_shards, indexed=indexed)
        return [
            Part(run_id=draft.run.run_id, stage=stage, part=number, lower=lower, upper=upper)
            for stage in (reads, computes)
            for number, (lower, upper) in enumerate(ranges)
        ] + [Part(run_id=draft.run.run_id, stage=fits, part=0)]

    def refresh(self, draft: Draft) -> list[Part] | None:
        """The changed customers, as one part; a full run where there was too little data."""
        last = runs.published_run(draft.session, self.name)
        if "too_little_data" in (last.counts or {}):
            return None
        self.tables.note_unchanged(draft)
        return [Part(run_id=draft.run.run_id, stage=self.stages[0].name, part=0)]

    def prepare(self, session: Session, run: Run, parts: Sequence[Part]) -> None:
        """Create the run's ledger, and a full run's generation, not yet visible to readers."""
        ledger.begin(session, run, [part for part in parts if part.stage == self.stages[0].name])
        if run.mode != "incremental":
            self.tables.create(
                session, run, sorted({part.part for part in parts if part.stage == self.stages[-1].name})
            )

    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Publish the run's generation."""
        run.counts = (run.counts or {}) | summed(progress.parts(session, run, self.stages[-1].name))
        self.tables.settle(session, run)
        publishing.name_current(session, run, run.generation)

    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Drop the generations' tables."""
        self.tables.discard(session, generations)

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Staging tables and unpublished generations."""
        return self.tables.unneeded(session)

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove the customer's row, and the id from shard bounds and ledgers."""
        return self.tables.forget(session, self.name, mobile_id)
