"""Flat exports: orders, lines and menu from rows of sold lines, checked against the same rows grouped in Python;
long, since the flat exports are one table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errors import LoadError
from source.load import load_sales
from source.loading.guess import guess
from source.loading.maps import Map, read_map
from source.loading.options import Options
from source.loading.report import Loaded
from tests.source.exports import SHOPIFY, SQUARE, TILL, TOAST
from tests.system import read

TOTALS = "SELECT transaction_id, mobile_id, total_amount FROM fact_transactions ORDER BY transaction_id"
NAMED = (
    "SELECT order_text, mobile_id, total_amount FROM fact_transactions JOIN order_numbers USING (transaction_id)"
    " ORDER BY 1"
)
LINES = (
    "SELECT transaction_id, menu_item_name, quantity, lines.price FROM fact_transaction_items AS lines"
    " JOIN dim_menu_items USING (item_id) ORDER BY id"
)


def a_map(folder: Path, text: str) -> Map:
    (folder / "map.toml").write_text(text)
    return read_map(str(folder / "map.toml"))


def write(folder: Path, text: str, name: str = "sales.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def rows(url: str, query: str) -> list[list[object]]:
    return read(url, query).values.tolist()  # type: ignore[no-any-return]


def sell(url: str, folder: Path, text: str, columns: str, **options: object) -> Loaded:
    said = Options(**options)  # type: ignore[arg-type]
    return load_sales(url, write(folder, text), a_map(folder, f"[columns]\n{columns}"), timezone="UTC", options=said)


PLAIN = 'transaction_id = "o"\ncreated_at = "t"\nmobile_id = "c"\nmenu_item_name = "i"\nquantity = "q"\nprice = "p"'


def test_numbers_that_restart_are_reported_and_a_refund_does_not_set_the_menus_price(
    database_url: str, tmp_path: Path
) -> None:
    text = "o,t,i,p\n1,2024-06-05 12:00,Tea,2\n2,2024-06-05 13:00,Tea,2\n1,2024-06-06 00:00,Tea,-2\n"
    columns = 'transaction_id = "o"\ncreated_at = "t"\nmenu_item_name = "i"\nprice = "p"'
    (warning,) = sell(database_url, tmp_path, text, columns).warnings
    assert "12 hours or more apart" in warning and "(1, the first in line 2)" in warning
    assert rows(database_url, "SELECT menu_item_name, price::int FROM dim_menu_items") == [["Tea", 2]]


def test_a_tills_rows_become_orders_lines_and_a_menu(database_url: str, tmp_path: Path) -> None:
    path = write(tmp_path, TILL, encoding="cp1252")
    found = guess(path, Options())
    a_map(tmp_path, found.toml())
    loaded = load_sales(database_url, path, read_map(str(tmp_path / "map.toml")), timezone="Europe/Berlin")
    assert loaded.rows == {"fact_transactions": 3, "fact_transaction_items": 5, "dim_menu_items": 4}
    assert loaded.warnings == []
    assert rows(database_url, NAMED) == [
        ["R-0001", "+4917000001", Decimal("23.40")],
        ["R-0002", None, Decimal("20.16")],
        ["R-0003", "+4917000001", Decimal("1234.50")],
    ]
    times = rows(database_url, "SELECT to_char(created_at AT TIME ZONE 'UTC', 'MM-DD HH24:MI') FROM fact_transactions")
    assert times == [["02-13 11:05"], ["02-13 18:30"], ["07-14 10:00"]]
    assert rows(database_url, "SELECT menu_item_name, price, category FROM dim_menu_items ORDER BY 1") == [
        ["Bergkäse", Decimal("24.00"), "Deli"],
        ["Hochzeit", Decimal("1234.50"), "Fest"],
        ["Schnitzel", Decimal("16.90"), "Mains"],
        ["Suppe", Decimal("6.50"), "Starters"],
    ]


def test_shopifys_orders_stand_in_their_first_row(database_url: str, tmp_path: Path) -> None:
    loaded = load_sales(database_url, write(tmp_path, SHOPIFY), read_map("shopify"), timezone="UTC")
    assert rows(database_url, TOTALS) == [[1, "+447700900003", Decimal("21.00")], [2, "b@x.com", Decimal("3.00")]]
    assert rows(database_url, LINES) == [
        [1, "Soup - Large", 2, Decimal("5.00")],
        [1, "Fish [/chips]", 1, Decimal("10.00")],
        [2, "Soup - Large", 1, Decimal("5.00")],
    ]
    assert loaded.left_out == 3 and loaded.warnings == []


def test_squares_items_have_their_amounts_and_refunds(database_url: str, tmp_path: Path) -> None:
    options = Options(date_order="mdy")
    path = write(tmp_path, SQUARE)
    loaded = load_sales(database_url, path, read_map("square"), timezone="America/New_York", options=options)
    assert rows(database_url, TOTALS) == [[1, "CUST1", Decimal("1012.00")], [2, "CUST1", Decimal("-4.00")]]
    assert rows(database_url, LINES) == [[1, "Latte", 2, 4], [1, "Bagel", 1, 1004], [2, "Bagel", -1, 4]]
    assert loaded.warnings == []


def test_toasts_voids_are_left_out_by_the_guessed_map(database_url: str, tmp_path: Path) -> None:
    path = write(tmp_path, TOAST)
    a_map(tmp_path, guess(path, Options()).toml())
    load_sales(database_url, path, read_map(str(tmp_path / "map.toml")), timezone="UTC")
    assert rows(database_url, TOTALS) == [[90000000001, None, Decimal("10.00")], [90000000002, None, Decimal("4.00")]]
    assert rows(database_url, "SELECT item_id, menu_item_name FROM dim_menu_items ORDER BY 1") == [
        [5001, "Burger"],
        [5002, "Fries"],
    ]


ONE = "o,t,c,i,q,p\n1,2024-06-05 13:00,a,Soup,1,5\n"


@pytest.mark.parametrize(
    ("text", "columns", "totals"),
    [
        (ONE, PLAIN, [[1, "a", 5]]),
        # An empty order id belongs to the order above.
        (ONE + ",,,Tea,2,1\n,2024-06-05 13:00,,Egg,1,2\n", PLAIN, [[1, "a", 9]]),
        # The customer may stand in any row.
        ("o,t,c,i,q,p\n1,2024-06-05 13:00,,Soup,1,5\n1,,b,Tea,1,1\n", PLAIN, [[1, "b", 6]]),
        # Each row an order, and the same row twice two orders.
        (ONE + ONE.splitlines()[1] + "\n", PLAIN.split("\n", 1)[1], [[1, "a", 5], [2, "a", 5]]),
        # Without quantities, a row is one piece.
        ("o,t,i,p\n1,2024-06-05 13:00,Soup,5\n", "\n".join(PLAIN.split("\n")[i] for i in (0, 1, 3, 5)), [[1, None, 5]]),
        # Negative lines are given back.
        (ONE + "1,2024-06-05 13:00,a,Soup,-1,5\n2,2024-06-05 13:00,a,Soup,-1,5\n", PLAIN, [[1, "a", 0], [2, "a", -5]]),
        # A line's discount is taken off, whatever its sign; tax is added where the map says so.
        (
            "o,t,i,p,d,x\n1,2024-06-05 13:00,Soup,5,1,0.5\n1,2024-06-05 13:00,Tea,5,-2,0.5\n",
            'transaction_id = "o"\ncreated_at = "t"\nmenu_item_name = "i"\nprice = "p"\ndiscount = "d"\ntax = "x"',
            [[1, None, 8]],
        ),
        # Tips and refunds are taken off the order's total.
        (
            "o,t,i,a,tip,back\n1,2024-06-05 13:00,Soup,10,1,2\n1,2024-06-05 13:00,Tea,10,1,2\n"
            "2,2024-06-05 13:00,Tea,10,,-3\n",
            'transaction_id = "o"\ncreated_at = "t"\nmenu_item_name = "i"\ntotal_amount = "a"\ntip = "tip"\n'
            'refund = "back"',
            [[1, None, 7], [2, None, 7]],
        ),
        # Each line is rounded as a till does it.
        ("o,t,c,i,q,p\n" + "1,2024-06-05 13:00,a,Cheese,0.333,10.01\n" * 3, PLAIN, [[1, "a", Decimal("9.99")]]),
        # A receipt number that begins anew each day.
        (
            "d,o,c,i,q,p\n2024-06-05,1,a,Tea,1,5\n2024-06-06,1,a,Tea,1,5\n2024-06-06,1,a,Egg,1,2\n",
            PLAIN.replace('"o"', '["d", "o"]').replace('"t"', '"d"'),
            [[1, "a", 5], [2, "a", 7]],
        ),
        # Orders without lines.
        (
            "o,t,c,total\n7,2024-06-05 13:00,a,5\n",
            'transaction_id = "o"\ncreated_at = "t"\nmobile_id = "c"\ntotal_amount = "total"',
            [[7, "a", 5]],
        ),
        # The order's own row, and its payment, are no lines and count once.
        (
            "o,t,c,i,q,p\n1,2024-06-05 13:00,a,,1,5\n1,,,Soup,1,5\n1,,,,1,5\n",
            PLAIN,
            [[1, "a", 5]],
        ),
    ],
)
def test_orders_amounts(database_url: str, tmp_path: Path, text: str, columns: str, totals: list[list[object]]) -> None:
    sell(database_url, tmp_path, text, columns)
    assert rows(database_url, TOTALS) == totals


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        (
            "o,t,c,i,q,p\n,2024-06-05 13:00,a,Soup,1,5\n",
            PLAIN,
            "line 2, column transaction_id: the order's id is missing",
        ),
        (ONE + ",2024-06-05 14:00,a,Soup,1,5\n", PLAIN, "line 3, .* the order above has another time"),
        (ONE + "2,2024-06-05 14:00,a,Soup,x,5\n", PLAIN, 'line 3, column quantity: "x"'),
        (
            "o,t,total\n1,2024-06-05 13:00,5\n\n1,2024-06-05 13:00,6\n",
            'transaction_id = "o"\ncreated_at = "t"\ntotal_amount = "total"',
            "line 4, column total_amount: .* line_total",
        ),
        (ONE, PLAIN.replace('"p"', '"paid"').replace('"c"', '"who"'), "no columns who, paid"),
        (ONE, 'created_at = "t"', "names no amounts"),
        (ONE, PLAIN + '\nprize = "p"', "prize; it may have"),
        (ONE, PLAIN + "\nprice = 'p'", "is not valid TOML"),
        (ONE, PLAIN + '\n[file]\ndate_order = "mm"', "date_order is 'mm'"),
        (ONE, PLAIN + "\n[file]\ndelimiter = 5", "delimiter is 5"),
    ],
)
def test_what_can_not_be_split_is_refused_and_nothing_is_there(
    database_url: str, tmp_path: Path, text: str, columns: str, said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        sell(database_url, tmp_path, text, columns)
    assert rows(database_url, "SELECT relname FROM pg_class WHERE relname LIKE 'fact_%'") == []


def test_cancelled_orders_are_left_out_and_removed_by_an_update(database_url: str, tmp_path: Path) -> None:
    columns = PLAIN + '\nstatus = "s"\n[status]\nleave_out = ["Cancelled", "unpaid"]'
    time = "2024-06-05 13:00"
    first = f"o,t,c,i,q,p,s\nA-1,{time},a,Soup,1,5,paid\nA-2,{time},b,Soup,1,5,paid\nA-3,{time},b,Soup,1,5,UNPAID\n"
    loaded = sell(database_url, tmp_path, first, columns)
    assert loaded.rows["fact_transactions"] == 2 and loaded.left_out == 1
    second = f"o,t,c,i,q,p,s\nA-2,{time},b,Soup,1,5,cancelled\nA-2,,,Tea,1,5,\nA-4,{time},a,Tea,1,2,\n"
    loaded = sell(database_url, tmp_path, second, columns, on_conflict="update")
    assert loaded.removed == {"fact_transactions": 1, "fact_transaction_items": 1} and loaded.left_out == 2
    assert [row[0] for row in rows(database_url, NAMED)] == ["A-1", "A-4"]
    assert rows(database_url, "SELECT count(*) FROM fact_transaction_items") == [[2]]


def test_an_overlapping_export_updates_skips_or_is_refused(database_url: str, tmp_path: Path) -> None:
    first = ONE + "1,2024-06-05 13:00,a,Tea,1,2\n2,2024-06-05 14:00,b,Tea,2,2\n"
    sell(database_url, tmp_path, first, PLAIN)
    ids = rows(database_url, "SELECT id, transaction_id FROM fact_transaction_items ORDER BY 1")
    # A line is gone, one is new, a customer is known now, and a third order came.
    second = ONE.replace(",a,", ",z,") + "1,,,Egg,3,1\n2,2024-06-05 14:00,b,Tea,2,2.00\n3,2024-06-06 09:00,c,Cake,1,4\n"
    with pytest.raises(LoadError, match="line 2, column transaction_id: the key 1 exists already"):
        sell(database_url, tmp_path, second, PLAIN)
    skipped = sell(database_url, tmp_path, second, PLAIN, on_conflict="skip")
    assert skipped.rows == {"dim_menu_items": 1 + 1, "fact_transactions": 1, "fact_transaction_items": 1}
    assert rows(database_url, TOTALS) == [[1, "a", 7], [2, "b", 4], [3, "c", 4]]
    updated = sell(database_url, tmp_path, second, PLAIN, on_conflict="update")
    assert updated.updated["fact_transactions"] == 1 and updated.removed["fact_transaction_items"] == 2
    assert rows(database_url, TOTALS) == [[1, "z", 8], [2, "b", 4], [3, "c", 4]]
    assert [row[:2] for row in rows(database_url, LINES.replace("ORDER BY id", "ORDER BY 1, 2"))] == [
        [1, "Egg"],
        [1, "Soup"],
        [2, "Tea"],
        [3, "Cake"],
    ]
    assert ids[2] in rows(database_url, "SELECT id, transaction_id FROM fact_transaction_items")
    again = sell(database_url, tmp_path, second, PLAIN, on_conflict="update")
    assert not any([*again.rows.values(), *again.updated.values(), *again.removed.values()])


TEXTS = st.sampled_from(["", "a", "b", "+44 7", "Käse; 1", 'q"q', "two\nlines"])
ROW = st.tuples(
    st.integers(1, 5),
    TEXTS,
    st.sampled_from(["Soup", "Tea", "Egg, fried", "Ä"]),
    st.decimals(-3, 9, places=3),
    st.decimals(0, 99, places=2),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(ROW, min_size=1, max_size=25), st.sampled_from([",", ";"]), st.sampled_from([".", ","]))
def test_any_rows_are_grouped_as_python_groups_them(
    database_url: str,
    tmp_path: Path,
    drawn: list[tuple[int, str, str, Decimal, Decimal]],
    sep: str,
    point: str,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sep)
    writer.writerow("otciqp")
    for order, customer, item, quantity, price in drawn:
        numbers = [str(number).replace(".", point) for number in (quantity, price)]
        writer.writerow([f"#{order}", f"2024-06-0{order} 13:00", customer, item, *numbers])
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "DROP TABLE IF EXISTS fact_transactions, fact_transaction_items, dim_menu_items, order_numbers,"
            " item_numbers"
        )
    sell(database_url, tmp_path, text.getvalue(), PLAIN, delimiter=sep, decimal=point)
    assert rows(database_url, NAMED) == list(grouped(drawn))
    assert [line[1:] for line in rows(database_url, LINES)] == [list(row[2:]) for row in drawn]


def grouped(drawn: list[tuple[int, str, str, Decimal, Decimal]]) -> Iterable[list[object]]:
    for order in sorted({row[0] for row in drawn}):
        mine = [row for row in drawn if row[0] == order]
        customer = next((row[1] for row in mine if row[1]), None)
        cents = ((row[3] * row[4]).quantize(Decimal("0.01"), ROUND_HALF_UP) for row in mine)
        yield [f"#{order}", customer, sum(cents)]
