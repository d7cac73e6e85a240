"""What callers may send, and what a run looks like to them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from store.runs import FINISHED, RunState

Kind = Literal["rfm", "menu"]
Mode = Literal["full", "incremental"]
BIGINT = 2**63


class TransactionIds(BaseModel):
    """A closed range of transaction ids that an import wrote."""

    model_config = ConfigDict(populate_by_name=True)

    first: int = Field(alias="from", ge=-BIGINT, lt=BIGINT)
    last: int = Field(alias="to", ge=-BIGINT, lt=BIGINT)


class ImportData(BaseModel):
    """What an import was, as far as the sender says."""

    import_id: Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")] | int | None = None
    kinds: list[Kind] = Field(default=["rfm", "menu"], min_length=1)
    mode: Mode = "incremental"
    transaction_ids: TransactionIds | None = None


class ImportEvent(BaseModel):
    """The body of `POST /webhooks/imports`."""

    type: Literal["import.completed"]
    timestamp: datetime | None = None
    data: ImportData = ImportData()


def asked(state: RunState) -> dict[str, Any]:
    """A run as the answer to a request for it."""
    run = state.run
    return {"run_id": str(run.run_id), "kind": run.kind, "status": run.status, "url": f"/runs/{run.run_id}"}


def shown(state: RunState) -> dict[str, Any]:
    """A run as `GET /runs` shows it."""
    run = state.run
    return {
        **asked(state),
        "mode": run.mode,
        "progress": state.progress,
        "requested_at": _iso(run.requested_at),
        "started_at": _iso(run.started_at),
        "finished_at": _iso(run.finished_at),
        "as_of": _iso(run.as_of),
        "error_code": run.error_code,
        "error": run.error,
        "counts": {name: number for name, number in (run.counts or {}).items() if isinstance(number, int)},
    }


def is_finished(state: RunState) -> bool:
    """Whether the run will not change any more."""
    return state.run.status in FINISHED


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
