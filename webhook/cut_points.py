"""Cut points in answers: their values, source and unit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, Field

from kinds.rfm import results

Source = Literal["quintiles", "own"]


class Sources(BaseModel):
    """The source of each measure's cut points: quintiles over all customers, or the segment map's own."""

    recency_days: Source
    frequency: Source
    monetary: Source


class Units(BaseModel):
    """The unit of each measure's cut points."""

    recency_days: Literal["days"] = "days"
    frequency: Literal["purchases"] = "purchases"
    monetary: Literal["money", "money per purchase"]


class CutPoints(BaseModel):
    """The cut points: a score is 1 + the number of cut points strictly below the value (R: 5 - this number).

    Quintiles are empty without customers.
    """

    recency_days: list[Decimal]
    frequency: list[Decimal]
    monetary: list[Decimal] = Field(description="Of what M scores, the total or the average; with up to 28 digits.")
    source: Sources
    unit: Units
    monetary_measure: Literal["total", "average"] = Field(description="`average`: monetary ÷ frequency.")

    @classmethod
    def of(cls, found: Mapping[str, results.CutPoints]) -> CutPoints:
        """By measure."""
        average = found["monetary"].average
        return cls(
            **{name: [_decimal(value) for value in each.values] for name, each in found.items()},
            source=Sources(**{name: "own" if each.own else "quintiles" for name, each in found.items()}),
            unit=Units(monetary="money per purchase" if average else "money"),
            monetary_measure="average" if average else "total",
        )


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / value.denominator
