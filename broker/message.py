"""Validation of task messages. Celery checks little, and malformed messages can end its worker."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from celery import Task
from kombu.message import Message
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LARGEST = 256 * 1024  # bytes of a body; our messages are less than a hundredth of that
SCALAR = str | int | float | bool | None

Limit = Annotated[float, Field(ge=0, le=24 * 60 * 60)] | None  # seconds; more overflows the event loop's clock
Text = str | None


class Headers(BaseModel):
    """The headers that Celery's worker reads, with the types that it expects; any other header is a scalar."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, SCALAR] = Field(init=False)

    id: str = Field(min_length=1, max_length=256)
    task: str = Field(max_length=256)
    lang: Text = None
    shadow: Text = None
    origin: Text = None
    root_id: Text = None
    parent_id: Text = None
    group: Text = None
    group_index: int | None = None
    argsrepr: Text = None
    kwargsrepr: Text = None
    eta: Text = None
    expires: Text = None
    retries: int | None = Field(None, ge=0)
    timelimit: tuple[Limit, Limit] | None = Field(None, strict=False)
    ignore_result: bool | None = None
    replaced_task_nesting: int | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, SCALAR | list[SCALAR]] | None = None


class Embedded(BaseModel):
    """The embedded signatures of a message (callbacks, chain, chord); only their outer types are checked."""

    model_config = ConfigDict(strict=True, extra="forbid")

    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    chain: list[dict[str, Any]] | None = None
    chord: dict[str, Any] | None = None


# Our messages carry run ids, part numbers and counts only.
_BODY = TypeAdapter(tuple[list[str | int], dict[str, str | int], Embedded])


def check(message: Message, tasks: Mapping[str, Task]) -> None:
    """Check everything that Celery reads of a message for one of these tasks.

    Raises
    ------
    Exception
        Of any type, for a message that is not valid.
    """
    if len(message.body or b"") > LARGEST:
        raise ValueError(f"longer than {LARGEST} bytes")
    headers = Headers.model_validate(message.headers)
    for moment in (headers.eta, headers.expires):
        if moment is not None:
            datetime.fromisoformat(moment).timestamp()
    if message.content_type != "application/json" or message.content_encoding not in ("utf-8", "us-ascii"):
        raise ValueError("not JSON")
    args, kwargs, _ = _BODY.validate_python(tuple(message.payload))
    tasks[headers.task].__header__(*args, **kwargs)  # raises TypeError where they are not the task's arguments
