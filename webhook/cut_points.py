"""The cut points that scores follow from, as answers show them: their values, source and unit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, Field

from kinds.rfm import results

Source = Literal["quintiles", "own"]


class Sources(BaseModel):
    """Whether a measure's cut points are the quintiles over all customers or the segment map's own."""

    recency_days: Source
    frequency: Source
    monetary: Source


class Units(BaseModel):
    """What a measure's cut points are in."""

    recency_days: Literal["days"] = "days"
    frequency: Literal["purchases"] = "purchases"
    monetary: Literal["money", "money per purchase"]


class CutPoints(BaseModel):
    """What customers' values are held against: a score is 1 + the cut points strictly below (R: 5 - them).

    Quintiles are empty where there are no customers.
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
