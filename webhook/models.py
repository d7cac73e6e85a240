"""Types that the bodies and queries of several modules share; each module's own models are beside its views."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from kinds import KINDS


def _kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there are {' and '.join(KINDS)}")
    return name


Kind = Annotated[str, AfterValidator(_kind), Field(json_schema_extra=lambda schema: schema.update(enum=[*KINDS]))]
# The kinds of a request that names none.
DEFAULTS = f"those of {', '.join(name for name, entry in KINDS.items() if entry.by_default)} that are computed here"
Mode = Literal["full", "incremental", "train"]
Status = Literal["pending", "running", "succeeded", "failed", "cancelled"]
PLAIN = r"^[^\x00]*$"  # PostgreSQL's text can't contain NUL
BIGINT = 2**63
BigInt = Annotated[int, Field(strict=True, ge=-BIGINT, lt=BIGINT)]
Limit = Annotated[int, Field(ge=1, le=1000)]
# Values that are only stored: strict, so that true stays true and no number is rounded.
Scalar = StrictBool | StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]


def _allow_null(schema: dict[str, Any]) -> None:
    """Make the schema say that optional members may be null."""
    for name, member in schema["properties"].items():
        if name not in schema.get("required", ()) and {"type": "null"} not in member.get("anyOf", ()):
            type_of = {key: member.pop(key) for key in list(member) if key not in ("title", "default", "description")}
            member["anyOf"] = [type_of, {"type": "null"}]


class Body(BaseModel):
    """A JSON body; a member that is null counts as not given."""

    model_config = ConfigDict(populate_by_name=True, json_schema_extra=_allow_null)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        # An unknown member stays: a model that refuses those refuses it with any value.
        known = {*cls.model_fields, *(field.alias for field in cls.model_fields.values())}
        return {name: each for name, each in value.items() if each is not None or name not in known}


class TooLittleData(BaseModel):
    """In place of results that need more data than there is: how much of what they need, and how much there is."""

    status: Literal["too_little_data"] = "too_little_data"
    needs: dict[str, int]
    has: dict[str, int]
