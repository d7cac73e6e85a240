"""`GET /menu_matrix`: popularity beside margin, after Kasavana and Smith."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from flask import Blueprint, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from kinds.menu import results
from kinds.menu.matrix import menu_matrix
from store.published import PublishedState
from webhook.access import authorize
from webhook.described import described, query
from webhook.menu import Quantity
from webhook.problems import Problem
from webhook.reading import read

blueprint = Blueprint("menu_matrix", __name__)
blueprint.before_request(authorize)


class MatrixQuery(BaseModel):
    """Which daypart; without it all together."""

    daytime_id: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None


class MatrixItem(BaseModel):
    """An item's place in the matrix."""

    model_config = ConfigDict(from_attributes=True)

    item_id: int
    name: str | None
    category: str | None
    orders: int
    quantity: Quantity
    revenue: Decimal
    price: Decimal = Field(description="What a piece was sold for, on average.")
    cost: Decimal | None
    share: float | None = Field(description="Of all pieces that have a place; null where the item's cost is missing.")
    margin: Decimal | None = Field(description="Of one piece.")
    kind: Literal["star", "plough-horse", "puzzle", "dog"] | None


class MenuMatrix(BaseModel):
    """Popularity beside margin; items with the most pieces first, those without a cost last."""

    run_id: UUID
    as_of: datetime
    daytime_id: int | None
    by: Literal["margin", "price"]
    note: str
    popular_share: float = Field(description="An item is popular from this share on: 0.7 ÷ items.")
    average_margin: Decimal = Field(description="An item earns well from this margin per piece on.")
    without_cost: int
    items: list[MatrixItem]


@blueprint.get("/menu_matrix")
@described(answer=MenuMatrix, query=MatrixQuery, problems=(404,), cached=True)
def matrix() -> Response:
    """Items by popularity and margin: stars, plough-horses, puzzles and dogs."""
    asked = query(MatrixQuery)

    def answer(session: Session, state: PublishedState) -> MenuMatrix:
        known = results.daypart_ids(state)
        if asked.daytime_id is not None and asked.daytime_id not in known:
            raise Problem(404, "daypart_not_found", f"There is no daypart {asked.daytime_id}.")
        found = menu_matrix(session, state, known if asked.daytime_id is None else [asked.daytime_id])
        return MenuMatrix(
            run_id=state.run.run_id,
            as_of=state.as_of,
            daytime_id=asked.daytime_id,
            by=found.by,
            note=found.note,
            popular_share=found.popular_share,
            average_margin=found.average_margin,
            without_cost=found.without_cost,
            items=[MatrixItem.model_validate(item) for item in found.items],
        )

    return read("menu", answer)
