"""`GET /menu_matrix`: items by popularity and margin, after Kasavana and Smith."""

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
    """A daypart; by default all together."""

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
    price: Decimal = Field(description="The average price per piece.")
    cost: Decimal | None
    share: float | None = Field(description="Of all classified pieces; null if the item's cost is missing.")
    margin: Decimal | None = Field(description="Per piece.")
    kind: Literal["star", "plough-horse", "puzzle", "dog"] | None


class MenuMatrix(BaseModel):
    """Items by popularity and margin; those with the most pieces first, those without a cost last."""

    run_id: UUID
    as_of: datetime
    daytime_id: int | None
    by: Literal["margin", "price"]
    note: str
    popular_share: float = Field(description="The least share of a popular item: 0.7 ÷ items.")
    average_margin: Decimal = Field(description="The least margin per piece of an item that earns well.")
    without_cost: int
    items: list[MatrixItem]


@blueprint.get("/menu_matrix")
@described(answer=MenuMatrix, query=MatrixQuery, problems=(404,), cached=True)
def matrix() -> Response:
    """Items by popularity and margin: stars, plough-horses, puzzles and dogs."""
    daytime_id = query(MatrixQuery).daytime_id

    def answer(session: Session, state: PublishedState) -> MenuMatrix:
        known = results.daypart_ids(state)
        if daytime_id is not None and daytime_id not in known:
            raise Problem(404, "daypart_not_found", f"There is no daypart {daytime_id}.")
        found = menu_matrix(session, state, known if daytime_id is None else [daytime_id])
        return MenuMatrix(
            run_id=state.run.run_id,
            as_of=state.as_of,
            daytime_id=daytime_id,
            by=found.by,
            note=found.note,
            popular_share=found.popular_share,
            average_margin=found.average_margin,
            without_cost=found.without_cost,
            items=[MatrixItem.model_validate(item) for item in found.items],
        )

    return read("menu", answer)
