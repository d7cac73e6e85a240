"""The periods that charts can show: each has a key on the keyboard, and its number of days is in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel


@dataclass(frozen=True)
class Period:
    """A period: its days, its name in English (the catalogues translate it), and its key."""

    days: str
    name: str
    key: str


PERIODS = (
    Period("7", "Week", "w"),
    Period("28", "4 weeks", "m"),
    Period("91", "Quarter", "q"),
    Period("364", "Year", "y"),
)


class PeriodQuery(BaseModel):
    """Over how many days."""

    days: Literal["7", "28", "91", "364"] = "28"
