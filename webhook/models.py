"""What callers may send and what they get: one pydantic model each, which validates and documents alike."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from flask import request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    StrictInt,
    model_validator,
)

from kinds import KINDS
from kinds.rfm.models import Change
from store.models import Run
from store.runs import RunState


def _kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there are {' and '.join(KINDS)}")
    return name


Kind = Annotated[str, AfterValidator(_kind), Field(json_schema_extra=lambda schema: schema.update(enum=[*KINDS]))]
Mode = Literal["full", "incremental", "train"]
Status = Literal["pending", "running", "succeeded", "failed", "cancelled"]
PLAIN = r"^[^\x00]*$"  # PostgreSQL's text holds no NUL
BIGINT = 2**63
BigInt = Annotated[int, Field(strict=True, ge=-BIGINT, lt=BIGINT)]
Limit = Annotated[int, Field(ge=1, le=1000)]
# What is not text, of what is only kept: strict, so that a true is kept as true and no number is rounded.
Scalar = StrictBool | StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]

Quantity = Annotated[
    Decimal,
    PlainSerializer(lambda value: int(value) if value == int(value) else float(value), return_type=int | float),
    Field(description="Pieces, or what was weighed, to thousandths; a whole one is written as an integer."),
]


def _tell_of_null(schema: dict[str, Any]) -> None:
    """Let the document say that members which need not be given may be null."""
    for name, member in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in member.get("anyOf", ()):
            type_of = {key: member.pop(key) for key in list(member) if key not in ("title", "default", "description")}
            member["anyOf"] = [type_of, {"type": "null"}]


class Body(BaseModel):
    """A JSON body; a member that is null is one that is not given."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra=_tell_of_null)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


class TransactionIds(Body):
    """A closed range of transaction ids that an import wrote, for orders that are dated back."""

    first: BigInt = Field(alias="from")
    last: BigInt = Field(alias="to")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.first > self.last:
            raise ValueError("from is greater than to")
        return self


class ImportData(Body):
    """What an import was, as far as the sender says."""

    import_id: Annotated[str, Field(max_length=256, pattern=PLAIN)] | Scalar | None = None
    kinds: list[Kind] | None = Field(
        default=None, min_length=1, max_length=10, description="By default all that are computed."
    )
    mode: Mode = "incremental"
    transaction_ids: TransactionIds | None = None


class ImportEvent(Body):
    """The body of `POST /webhooks/imports`."""

    type: Literal["import.completed"]
    timestamp: Annotated[str, Field(max_length=64, pattern=PLAIN)] | Scalar | None = Field(
        default=None, description="When it happened; kept as it is, and not relied upon."
    )
    data: ImportData = Field(default_factory=ImportData)


class RunRequest(Body):
    """The body of `POST /runs`; it may be empty."""

    kinds: list[Kind] | None = Field(
        default=None, min_length=1, max_length=10, description="By default all that are computed."
    )
    mode: Mode = "full"
    as_of: str | None = Field(
        default=None,
        max_length=64,
        description="Count only what is at most this time. Without an offset it is in TIMEZONE; a date alone is its"
        " last instant. Such a run is always full.",
        examples=["2026-01-31", "2026-01-31T18:00:00+00:00"],
    )


class RunsQuery(BaseModel):
    """Which runs to list."""

    webhook_id: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = None
    kind: Kind | None = None
    status: Status | None = None
    limit: Limit = 50


class SegmentsQuery(BaseModel):
    """Which customers to list, and from where on; or one customer, by the id."""

    segment: Annotated[str, Field(max_length=256, pattern=PLAIN)] | None = Field(
        default=None, description="A segment's name, in any case."
    )
    mobile_id: Annotated[str, Field(pattern=PLAIN)] | None = Field(
        default=None, description="One customer, as by the path: for an id that is `summary`, and any other."
    )
    limit: Limit = 100
    cursor: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )

    @model_validator(mode="after")
    def _one_or_many(self) -> Self:
        if self.mobile_id is not None and (self.segment is not None or self.cursor is not None):
            raise ValueError("mobile_id can't be given with segment or cursor")
        return self


class MenuQuery(BaseModel):
    """Which daypart: by its id, by a time of day in the restaurant's time zone, or all."""

    daytime_id: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    at: Annotated[str, Field(pattern=r"^(now|([01][0-9]|2[0-3]):[0-5][0-9])$")] | None = Field(
        default=None, examples=["12:30", "now"]
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.daytime_id is not None and self.at is not None:
            raise ValueError("daytime_id and at can't both be given")
        return self


class ChangesQuery(BaseModel):
    """From where on to tell changes."""

    after: Annotated[int, Field(ge=0, lt=BIGINT)] | None = Field(
        default=None, description="`next_after` of the answer before; without it, the oldest change that is kept."
    )
    limit: Limit = 100


class AskedRun(BaseModel):
    """A run as the answer to a request for it."""

    run_id: UUID
    kind: Kind
    status: Status
    url: str

    @classmethod
    def of(cls, run: Run) -> AskedRun:
        """From its row."""
        return cls.model_validate(_asked(run))


class AskedRuns(BaseModel):
    """The runs that will cover a request; several requests may share one."""

    runs: list[AskedRun]


class ShownStage(BaseModel):
    """A stage of a run, and how many of its parts are done."""

    stage: str
    parts: int
    done: int


class ShownRun(AskedRun):
    """A run and how far it is."""

    mode: Mode
    progress: float = Field(ge=0, le=1)
    stages: list[ShownStage] = Field(description="In order; empty before the run is planned, and long after its end.")
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    as_of: datetime | None
    error_code: str | None
    error: str | None = Field(description="Why it failed; of a run that works, why it last had to wait and try again.")
    counts: dict[str, int]

    @classmethod
    def state(cls, state: RunState) -> ShownRun:
        """From its row and its parts."""
        run = state.run
        counts = {name: number for name, number in (run.counts or {}).items() if isinstance(number, int)}
        times = {name: getattr(run, name) for name in ("requested_at", "started_at", "finished_at", "as_of")}
        stages = [{"stage": stage.name, "parts": stage.parts, "done": stage.done} for stage in state.stages]
        faults = {"error_code": run.error_code, "error": state.error}
        return cls.model_validate(
            _asked(run)
            | times
            | faults
            | {"mode": run.mode, "progress": state.progress, "stages": stages, "counts": counts}
        )


def _asked(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "status": run.status,
        "url": f"{request.script_root}/runs/{run.run_id}",
    }


class ShownRuns(BaseModel):
    """Runs, newest first."""

    runs: list[ShownRun]


class Customer(BaseModel):
    """A row of `rfm_segments`."""

    model_config = ConfigDict(from_attributes=True)

    mobile_id: str
    recency_days: int
    frequency: int
    monetary: Decimal = Field(description="With two decimals, as text, so that nothing is lost.")
    r_score: int
    f_score: int
    m_score: int
    rfm_score: str
    segment: str
    run_id: UUID = Field(description="The run that last wrote the row.")
    computed_at: datetime


class CustomerPage(BaseModel):
    """Customers in order of their ids."""

    run_id: UUID = Field(description="The run that this page was read from.")
    as_of: datetime
    segments: list[Customer]
    next_cursor: str | None


class CutPoints(BaseModel):
    """The 20, 40, 60 and 80 % quantiles over all customers; empty where there are none."""

    recency_days: list[Decimal]
    frequency: list[Decimal]
    monetary: list[Decimal]

    @classmethod
    def of(cls, fifths: dict[str, list[int]]) -> CutPoints:
        """From five times their values, money in cents."""
        return cls(
            recency_days=[Decimal(point) / 5 for point in fifths.get("recency_days", [])],
            frequency=[Decimal(point) / 5 for point in fifths.get("frequency", [])],
            monetary=[Decimal(point) / 500 for point in fifths.get("cents", [])],
        )


class SegmentChange(BaseModel):
    """A customer who moved."""

    model_config = ConfigDict(from_attributes=True)

    change_id: int
    run_id: UUID
    mobile_id: str
    from_segment: str | None = Field(description="null: a new customer.")
    to_segment: str | None = Field(description="null: no customer any more.")
    changed_at: datetime
    reason: Literal["behaviour", "cut_points", "settings"] = Field(
        description="`behaviour`: the customer's own orders, or their absence; `cut_points`: the others moved;"
        " `settings`: they were changed."
    )

    @classmethod
    def of(cls, change: Change) -> SegmentChange:
        """From its row."""
        return cls.model_validate(change)


class ExplainedCustomer(Customer):
    """A customer with the reason for the segment: what the values were held against, and the last move."""

    published_run_id: UUID
    as_of: datetime
    cut_points: CutPoints
    last_change: SegmentChange | None = Field(description="null: never since the first published run, or long ago.")


class SegmentSummary(BaseModel):
    """A segment in numbers."""

    model_config = ConfigDict(from_attributes=True)

    segment: str
    customers: int
    share: float
    revenue_share: float | None = Field(description="null where there is no revenue above zero.")
    median_recency_days: float
    median_frequency: float
    median_monetary: float


class Summary(BaseModel):
    """All segments, largest first."""

    run_id: UUID
    as_of: datetime
    customers: int
    cut_points: CutPoints
    segments: list[SegmentSummary]


class Daypart(BaseModel):
    """A window of local time; `end_time` is inclusive of its whole minute."""

    daytime_id: int
    daytime_label: str
    start_time: str
    end_time: str


class Recommendation(BaseModel):
    """A row of `menu_recommendation` with its names."""

    model_config = ConfigDict(from_attributes=True)

    rank: int
    menu_item_id: int
    menu_item_name: str | None
    category: str | None
    orders: int
    quantity: Quantity
    share: float
    run_id: UUID
    created_at: datetime


class DaypartMenu(BaseModel):
    """A daypart's items, best first; no daypart and no items in a gap between dayparts."""

    daypart: Daypart | None
    items: list[Recommendation]


class WholeMenu(BaseModel):
    """All dayparts."""

    run_id: UUID
    as_of: datetime
    dayparts: list[DaypartMenu]


class Changes(BaseModel):
    """Who moved, oldest first."""

    changes: list[SegmentChange]
    next_after: int = Field(description="Ask with it as `after` for what follows; nothing is skipped.")
    has_more: bool


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether the parts that we need work.

    `outdated`: our tables wait for `smartcrm migrate`; `read_only`: PostgreSQL takes no writes at present;
    `refuses_writes`: Redis is full, a replica, or grants too little; `cluster`: Celery can't use a Redis Cluster.
    """

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "down", "outdated", "read_only"]
    source: Literal["ok", "down"]
    redis: Literal["ok", "down", "refuses_writes", "cluster"]


class ProblemDocument(BaseModel):
    """RFC 9457, with a stable `error_code`."""

    type: str
    title: str
    status: int
    detail: str
    error_code: str
