"""The interface between the engine and a kind of result: plan, parts, stages, and publishing.

The engine (worker/) plans a run, sends each stage's parts as a chord, and publishes when the last stage is complete.
It names no kind. A kind reads the CRM's orders through source/, computes with analytics/, and stores partial and final
results in its own tables, by the run's `generation`.

    plan ─► parts (or refresh) ─► prepare ─► stage ─► [before] stage ─► … ─► publish (or merge)
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy.orm import Session

from errors import SmartCRMError
from settings import Settings
from source.reading import Connection
from store.models import ModelVersion, Part, Run
from store.parts import Claim

Plan = Mapping[str, Any]
Counts = dict[str, int]


class RowsLostError(SmartCRMError):
    """Rows of an earlier stage were lost in a crash of PostgreSQL; the stage's `before` reopens their parts."""

    code = "staging_lost"


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its parts are done concurrently, each by a task `smartcrm.<kind>.<name>` with its number.

    `do` does one part in the transaction of its claim, and returns its counts.

    `before` is called when the previous stage is complete and parts of this one are missing. It is called at each look
    at the run, so it has to check whether its work is done already. It may add parts to this stage, and reopen parts
    of earlier stages whose rows were lost in a crash. It runs under the run's lock, so a step that takes longer than
    seconds has to be a stage with one part.

    `inline`: a single part is done by `advance`, since a message would take longer than the work.
    """

    name: str
    do: Callable[[Settings, Claim], Counts]
    before: Callable[[Session, Settings, Run], None] | None = None
    inline: bool = False


@dataclass(frozen=True)
class Draft:
    """A run that is being planned: its plan so far, its mode, the CRM's database, and a session on ours.

    Read the CRM's database before the first use of `session`, so that no transaction of ours waits for it.
    """

    session: Session
    settings: Settings
    crm: Connection
    run: Run
    plan: dict[str, Any]
    mode: str
    parts: Sequence[Part] = ()


class Kind(ABC):
    """One kind of result.

    A kind that trains stores versions of its model with store/versions.py. `plan["champion"]` is the number of the
    version in service when the run was planned, or None. A run in mode `train` adds a version, with the decision, and
    sets `plan["champion"]` to the version that computes its results. The engine puts it in service when it publishes.
    """

    name: ClassVar[str]  # as in `analytics_runs.kind` and in the API
    stages: ClassVar[tuple[Stage, ...]]  # in order
    of_one_run: ClassVar[frozenset[str]] = frozenset()  # keys of the plan that an incremental run may differ in
    holds_customers: ClassVar[bool] = (
        False  # whether its tables hold customers' ids, so that `forget` waits for its runs
    )
    # A query for the generations of runs that published rows name, which retention keeps.
    writers: ClassVar[str] = "SELECT NULL::bigint WHERE false"

    @abstractmethod
    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """Everything that the results depend on, as JSON; an incremental run's plan has to equal the published one.

        Raises
        ------
        SmartCRMError
            When the source or a setting can't be used; the run fails with this error.
        """

    @abstractmethod
    def parts(self, draft: Draft) -> list[Part]:
        """The parts of all stages of a full or training run; may add to the plan."""

    def refresh(self, draft: Draft) -> list[Part] | None:
        """The parts of an incremental run since `plan["since"]`; None if it has to be full.

        A kind with incremental runs keeps a ledger (store/ledger.py): `prepare` creates it, and the parts that read
        orders write it. If the published run has no complete one, `plan["recompute_all"]` is set.
        """
        return None

    def prepare(  # noqa: B027  # most kinds need nothing
        self, session: Session, run: Run, parts: Sequence[Part]
    ) -> None:
        """Create what the run's parts need, in the transaction that starts the run."""

    @abstractmethod
    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Publish a full run's results, in the transaction that ends the run."""

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Merge an incremental run's results into the published ones, in the transaction that ends the run."""
        raise NotImplementedError(f"{self.name} has no incremental runs")

    def follow(self, session: Session, run: Run) -> None:  # noqa: B027  # most kinds keep nothing of others
        """Update what this kind stores of another kind's results, in the transaction that publishes that kind's run."""

    @abstractmethod
    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Remove generations that no snapshot can still read."""

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Steps that remove what ended runs have left behind.

        Each is executed in its own transaction, which is given up if it has to wait for a lock.
        """
        return []

    def unindexed(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Steps that add indexes to what is published, for readers' lists and for incremental runs.

        No run waits for them: without an index more rows are read. Each is executed in its own transaction, which is
        given up if it has to wait for a lock.
        """
        return []

    def drop_old(self, session: Session) -> None:  # noqa: B027  # most kinds keep no history
        """Delete history that is past its retention; called once per night."""

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove a customer from the kind's tables; returns the number of rows."""
        return 0

    def check_version(self, session: Session, model: ModelVersion) -> None:  # noqa: B027  # most kinds have none
        """Check that results can be computed with this version of the kind's model.

        Raises
        ------
        RequestError
            With the code `model_unusable`, when something that it was trained on no longer exists.
        """

    def event_data(self, session: Session) -> dict[str, Any]:
        """Data about this kind's published results for outgoing events."""
        return {}

    def do(self, settings: Settings, claimed: Claim) -> None:
        """Do a claimed part and store its counts."""
        stage = next(stage for stage in self.stages if stage.name == claimed.part.stage)
        claimed.part.counts = stage.do(settings, claimed)


def summed(parts: Sequence[Part]) -> Counts:
    """The sum of these parts' counts."""
    totals: Counts = {}
    for part in parts:
        for name, number in (part.counts or {}).items():
            totals[name] = totals.get(name, 0) + number
    return totals


# Keys that may differ between two plans of a kind although no result changes.
_OF_EVERY_RUN = frozenset(
    {"as_of", "covered_id", "last_id", "owners", "since", "recompute_all", "inline", "stages", "future_transactions"}
)


def steady(plan: Mapping[str, Any] | None, of_one_run: frozenset[str]) -> dict[str, Any]:
    """The part of a plan that results depend on, as it is when read back from the database."""
    kept = {name: value for name, value in (plan or {}).items() if name not in _OF_EVERY_RUN | of_one_run}
    return dict(json.loads(json.dumps(kept)))
