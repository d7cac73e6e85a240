"""What the engine asks of a kind of result: its plan, its parts, its stages, and how its results become current.

The engine (worker/) plans a run, sends each stage's parts as a chord, and publishes when the last stage is complete.
It names no kind. A kind reads the CRM's orders through source/, computes with analytics/, and keeps partial results
and results in tables of its own, by the run's `generation`.

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
    """Rows that an earlier stage stored are gone, in a crash of PostgreSQL; a stage's `before` has them made again."""

    code = "staging_lost"


@dataclass(frozen=True)
class Stage:
    """A stage of a run: its parts are done side by side, each by a task `smartcrm.<kind>.<name>` with its number.

    `do` does one part in the transaction of its claim and returns what it counted.

    `before` is called when the stage before is complete and parts of this one are missing: with each look at the run,
    so it has to find out whether its work is done already. It may add parts to this stage, and it may reopen parts of
    the stages before whose rows a crash took. It runs under the run's lock: a step that takes longer than seconds is
    a stage of its own, with one part.

    `inline` says that a single part is done at once instead of by a message, which would cost more than the work.
    """

    name: str
    do: Callable[[Settings, Claim], Counts]
    before: Callable[[Session, Settings, Run], None] | None = None
    inline: bool = False


@dataclass(frozen=True)
class Draft:
    """A run that is being planned: its plan so far, the mode that it will have, the CRM's database, a session on ours.

    Whoever reads with `session` reads the CRM's database first: no transaction of ours waits for it.
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

    A kind that trains has versions of its model in store/versions.py. `plan["champion"]` is the number of the one in
    service when the run was planned, or None. A run in mode `train` adds a version, with the decision, and sets
    `plan["champion"]` to the one that its results are of.
    """

    name: ClassVar[str]  # as in `analytics_runs.kind` and in the API
    stages: ClassVar[tuple[Stage, ...]]  # in order
    of_one_run: ClassVar[frozenset[str]] = frozenset()  # what of its plan may differ though nothing has changed
    holds_customers: ClassVar[bool] = (
        False  # whether its tables hold customers' ids, so that `forget` waits for its runs
    )
    # A query for the generations of the runs that published rows still name; those runs are kept.
    writers: ClassVar[str] = "SELECT NULL::bigint WHERE false"

    @abstractmethod
    def plan(self, settings: Settings, crm: Connection) -> dict[str, Any]:
        """Everything that the results follow from, as JSON; equal plans mean that a run may be incremental.

        Raises
        ------
        SmartCRMError
            When the source or a setting can't serve; the run fails with it.
        """

    @abstractmethod
    def parts(self, draft: Draft) -> list[Part]:
        """The parts of all stages of a full run (or of a training one); may add to the plan."""

    def refresh(self, draft: Draft) -> list[Part] | None:
        """The parts of an incremental run over `plan["since"]`; None where it has to be full.

        A kind with incremental runs keeps a ledger (store/ledger.py): `prepare` begins it, the parts that read orders
        write it. Without a whole one of the published run, `plan["recompute_all"]` says to compute everything.
        """
        return None

    def prepare(  # noqa: B027  # most kinds need nothing
        self, session: Session, run: Run, parts: Sequence[Part]
    ) -> None:
        """What the run needs before its first part, in the transaction that starts it."""

    @abstractmethod
    def publish(self, session: Session, settings: Settings, run: Run) -> None:
        """Make a full run's results current, in the transaction that ends the run."""

    def merge(self, session: Session, settings: Settings, run: Run) -> None:
        """Put an incremental run's results into the current ones, in the transaction that ends the run."""
        raise NotImplementedError(f"{self.name} has no incremental runs")

    @abstractmethod
    def discard(self, session: Session, generations: Sequence[int]) -> None:
        """Remove generations that no snapshot can read any more."""

    def unneeded(self, session: Session) -> Sequence[Callable[[Session], None]]:
        """Steps that remove what runs that have ended left behind.

        Each is taken in a transaction of its own, which gives up where it has to wait for a lock.
        """
        return []

    def drop_old(self, session: Session) -> None:  # noqa: B027  # most kinds keep no history
        """Drop history that is older than is kept; asked once a night."""

    def forget(self, session: Session, mobile_id: str) -> int:
        """Remove a customer from the kind's tables; returns how many rows that were."""
        return 0

    def check_version(self, session: Session, model: ModelVersion) -> None:  # noqa: B027  # most kinds have none
        """Check that results can be computed with this version of the kind's model.

        Raises
        ------
        RequestError
            With the code `model_unusable`, when what it was trained on no longer exists.
        """

    def event_data(self, session: Session) -> dict[str, Any]:
        """What every outgoing event says of this kind's published results."""
        return {}

    def do(self, settings: Settings, claimed: Claim) -> None:
        """Do a claimed part and keep what it counted."""
        stage = next(stage for stage in self.stages if stage.name == claimed.part.stage)
        claimed.part.counts = stage.do(settings, claimed)


def summed(parts: Sequence[Part]) -> Counts:
    """What these parts counted, together."""
    totals: Counts = {}
    for part in parts:
        for name, number in (part.counts or {}).items():
            totals[name] = totals.get(name, 0) + number
    return totals


# What differs between two plans of a kind though nothing that a result follows from has changed.
_OF_EVERY_RUN = frozenset(
    {"as_of", "covered_id", "last_id", "owners", "since", "recompute_all", "inline", "stages", "future_transactions"}
)


def steady(plan: Mapping[str, Any] | None, of_one_run: frozenset[str]) -> dict[str, Any]:
    """What results follow from, in the form that it has when it is read back from the database."""
    kept = {name: value for name, value in (plan or {}).items() if name not in _OF_EVERY_RUN | of_one_run}
    return dict(json.loads(json.dumps(kept)))
