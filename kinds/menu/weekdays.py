"""Rankings for some weekdays, by a run's rules, from the tallies of its generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql
from sqlalchemy.orm import Session

from errors import RequestError
from kinds.menu.models import MenuResult
from kinds.menu.rules import quantity_unit, ranking
from store.database import driver
from store.published import PublishedState

# ISO weekdays, 1 is Monday, of the business date.
DAYS = {"weekday": [1, 2, 3, 4, 5], "weekend": [6, 7]} | {str(day): [day] for day in range(1, 8)}

# Arrays are unnested in the list of columns: as a table, their rows are stored before they are read.
_RANKED = """
WITH counted AS (
  SELECT daytime_id, transactions, items, orders, quantities, cents, margins FROM menu_tallies
  WHERE generation = {generation} AND daytime_id = ANY({dayparts}) AND extract(isodow FROM day_bucket) = ANY({days})
), all_of_them AS (
  SELECT daytime_id, sum(transactions) AS transactions FROM counted GROUP BY daytime_id
), sums AS (
  SELECT daytime_id, item AS item_id, sum(o)::bigint AS orders, sum(q)::bigint AS quantity, sum(c) AS cents,
    item = ANY({costed}) AS known, CASE WHEN item = ANY({costed}) THEN coalesce(sum(m), 0) ELSE 0 END AS margin
  FROM (SELECT daytime_id, unnest(items) AS item, unnest(orders) AS o, unnest(quantities) AS q, unnest(cents) AS c,
               unnest(margins) AS m FROM counted) AS sold
  GROUP BY daytime_id, item HAVING sum(o) >= {min_orders}
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY daytime_id ORDER BY {order}, item_id) AS rank FROM sums
)
SELECT daytime_id, rank, ranked.item_id, menu_item_name, category, orders, quantity, orders / transactions::float8
FROM ranked JOIN all_of_them USING (daytime_id)
LEFT JOIN menu_items ON generation = {generation} AND menu_items.item_id = ranked.item_id
WHERE rank <= {top_n} ORDER BY daytime_id, rank
"""


def on_days(session: Session, state: PublishedState, dayparts: Sequence[int], day: str) -> Iterator[MenuResult]:
    """The dayparts' ranked items on one of `DAYS`, by daypart and rank; computed, not stored.

    Raises
    ------
    RequestError
        When the published run's tallies don't separate weekdays.
    """
    plan = state.run.plan or {}
    if not plan.get("by_weekday"):
        raise RequestError("Weekdays are available after the next full run.", code="no_results")
    rules = ranking(plan)
    query = sql.SQL(_RANKED).format(
        generation=sql.Literal(state.generation),
        dayparts=sql.SQL("{}::int[]").format(sql.Literal(list(dayparts))),
        days=sql.Literal(DAYS[day]),
        costed=sql.SQL("{}::bigint[]").format(sql.Literal(sorted(rules.costed))),
        min_orders=sql.Literal(rules.min_orders),
        order=sql.SQL(", ").join(sql.SQL("{} DESC").format(sql.Identifier(name)) for name in rules.order),
        top_n=sql.Literal(rules.top_n),
    )
    for daypart, rank, item, name, category, orders, units, share in driver(session).execute(query).fetchall():
        yield MenuResult(
            generation=state.generation,
            daytime_id=daypart,
            rank=rank,
            menu_item_id=item,
            menu_item_name=name,
            category=category,
            orders=orders,
            units=units,
            units_per_piece=quantity_unit(plan),
            share=share,
            run_id=state.run.run_id,
            created_at=state.run.started_at,
        )
