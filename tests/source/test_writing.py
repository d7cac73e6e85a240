"""Rows that exist already, numbers of text ids, and rows that the CRM's own tables refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from errors import LoadError
from source.load import load
from source.loading.options import Options
from source.loading.report import Loaded
from tests.system import read

ORDERS = "transaction_id,mobile_id,total_amount,created_at"
AT = "2024-06-05 13:00"


def bring(url: str, folder: Path, orders: str = "", lines: str = "", menu: str = "", **options: Any) -> Loaded:
    """Load tables given as lines without a header, or with one of their own."""
    files = {}
    for table, text, header in (
        ("fact_transactions", orders, ORDERS),
        ("fact_transaction_items", lines, "id,transaction_id,item_id,quantity,price"),
        ("dim_menu_items", menu, "item_id,menu_item_name,price,category"),
    ):
        if text:
            files[table] = folder / f"{table}.csv"
            files[table].write_text(text if "_id" in text.split("\n")[0] else f"{header}\n{text}")
    return load(url, files, timezone="UTC", options=Options(**options))


def rows(url: str, query: str) -> list[list[Any]]:
    return read(url, query).values.tolist()  # type: ignore[no-any-return]


def test_a_text_id_keeps_its_number_over_imports_and_files(database_url: str, tmp_path: Path) -> None:
    bring(
        database_url,
        tmp_path,
        f"#1001,a,1,{AT}\n7,a,1,{AT}\nu-u-i-d,a,1,{AT}",
        "1,#1001,5,1,1\n2,7,5,1,1\n3,late,5,1,1",
    )
    numbers = dict(rows(database_url, "SELECT * FROM order_numbers"))
    assert numbers == {"#1001": 8, "u-u-i-d": 9, "late": 10}
    assert rows(database_url, "SELECT transaction_id FROM fact_transaction_items ORDER BY id") == [[8], [7], [10]]
    # 9 is a text's number already, so the order 9 gets another, and keeps that.
    for _ in range(2):
        bring(database_url, tmp_path, f"late,a,1,{AT}\n9,b,2,{AT}\n20,b,2,{AT}", on_conflict="update")
    assert dict(rows(database_url, "SELECT * FROM order_numbers")) == numbers | {"9": 21}
    found = rows(database_url, "SELECT transaction_id, mobile_id FROM fact_transactions ORDER BY 1")
    assert found == [[7, "a"], [8, "a"], [9, "a"], [10, "a"], [20, "b"], [21, "b"]]


def test_where_the_highest_number_is_in_use_none_is_given(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no numbers are left for ids that are text, since transaction_id 9223"):
        bring(database_url, tmp_path, f"{2**63 - 1},a,1,{AT}\n#1,a,1,{AT}")


def test_text_item_ids_are_numbered_too(database_url: str, tmp_path: Path) -> None:
    bring(database_url, tmp_path, lines="1,1,SKU-9,1,1\n2,1,4,1,1", menu="SKU-9,Soup,5,\n4,Tea,,")
    assert rows(database_url, "SELECT item_id, menu_item_name, price FROM dim_menu_items ORDER BY 1") == [
        [4, "Tea", None],
        [5, "Soup", 5],
    ]
    assert rows(database_url, "SELECT item_id FROM fact_transaction_items ORDER BY id") == [[5], [4]]


def test_lines_may_have_no_ids_and_no_quantities_and_a_menu_no_prices(database_url: str, tmp_path: Path) -> None:
    bring(
        database_url,
        tmp_path,
        lines="transaction_id,item_id,price\n1,5,2\n1,6,3",
        menu="item_id,menu_item_name\n5,Soup",
    )
    found = rows(database_url, "SELECT id, transaction_id, item_id, quantity, price FROM fact_transaction_items")
    assert found == [[1, 1, 5, 1, 2], [2, 1, 6, 1, 3]]
    with pytest.raises(LoadError, match=r"line 3, column transaction_id: its order has lines already .*--on-conflict"):
        bring(database_url, tmp_path, lines="transaction_id,item_id,price\n2,5,2\n1,6,3")
    bring(database_url, tmp_path, lines="transaction_id,item_id,price\n2,5,2\n1,6,3", on_conflict="skip")
    assert rows(database_url, "SELECT count(*), max(id) FROM fact_transaction_items") == [[3, 3]]


@pytest.mark.parametrize(
    ("how", "right", "lines"),
    [
        ("skip", [[1, "a", 1], [2, "b", 2], [3, "c", 3]], [[1, 1, 5, 1], [2, 1, 6, 1], [3, 2, 5, 1], [5, 3, 5, 1]]),
        ("update", [[1, "z", 9], [2, "b", 2], [3, "c", 3]], [[1, 1, 5, 2], [3, 2, 5, 1], [4, 1, 7, 1], [5, 3, 5, 1]]),
    ],
)
def test_an_overlapping_export(database_url: str, tmp_path: Path, how: str, right: list[Any], lines: list[Any]) -> None:
    bring(database_url, tmp_path, f"1,a,1,{AT}\n2,b,2,{AT}", "1,1,5,1,1\n2,1,6,1,1\n3,2,5,1,1")
    again = (f"1,z,9,{AT}\n2,b,2.00,{AT}\n3,c,3,{AT}", "1,1,5,2,1\n4,1,7,1,1\n3,2,5,1,1\n5,3,5,1,1")
    loaded = bring(database_url, tmp_path, *again, on_conflict=how)
    assert (
        rows(database_url, "SELECT transaction_id, mobile_id, total_amount FROM fact_transactions ORDER BY 1") == right
    )
    query = "SELECT id, transaction_id, item_id, quantity FROM fact_transaction_items ORDER BY 1"
    assert rows(database_url, query) == lines
    assert loaded.rows["fact_transactions"] == 1
    assert loaded.updated.get("fact_transactions", 0) == (1 if how == "update" else 0)
    with pytest.raises(LoadError, match="line 2, column transaction_id: the key 1 exists already"):
        bring(database_url, tmp_path, *again)


def test_an_order_without_lines_any_more_loses_them(database_url: str, tmp_path: Path) -> None:
    bring(database_url, tmp_path, f"1,a,1,{AT}\n2,b,2,{AT}", "1,1,5,1,1\n2,2,6,1,1")
    bring(database_url, tmp_path, f"1,a,1,{AT}\n2,b,2,{AT}", "2,2,6,1,1", on_conflict="update")
    assert rows(database_url, "SELECT id FROM fact_transaction_items") == [[2]]


def test_a_line_may_move_to_another_order(database_url: str, tmp_path: Path) -> None:
    bring(database_url, tmp_path, lines="1,1,5,1,1\n2,1,6,1,1")
    bring(database_url, tmp_path, lines="2,9,6,1,1", on_conflict="update")
    assert rows(database_url, "SELECT id, transaction_id FROM fact_transaction_items ORDER BY 1") == [[1, 1], [2, 9]]


@pytest.mark.parametrize(("how", "kept"), [("skip", "a"), ("update", "b")])
def test_of_a_key_twice_in_a_file_one_is_taken_and_told(database_url: str, tmp_path: Path, how: str, kept: str) -> None:
    loaded = bring(database_url, tmp_path, f"1,a,1,{AT}\n1,b,1,{AT}", on_conflict=how)
    assert rows(database_url, "SELECT mobile_id FROM fact_transactions") == [[kept]]
    assert "repeat a transaction_id" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("ddl", "orders", "lines", "said"),
    [
        (
            "ALTER TABLE fact_transaction_items ADD FOREIGN KEY (item_id) REFERENCES dim_menu_items",
            "",
            "1,1,5,1,1\n2,1,6,1,1",
            "items.csv, line 3, column item_id: .*foreign key",
        ),
        (
            "ALTER TABLE fact_transaction_items ADD FOREIGN KEY (item_id) REFERENCES dim_menu_items"
            " DEFERRABLE INITIALLY DEFERRED",
            "",
            "1,1,5,1,1\n2,1,6,1,1",
            "items.csv, line 3, column item_id: .*foreign key",
        ),
        (
            "ALTER TABLE fact_transactions ALTER transaction_id TYPE int",
            f"1,a,1,{AT}\n2,a,1,{AT}\n3000000000,a,1,{AT}",
            "",
            "transactions.csv, line 4, column transaction_id: .*out of range",
        ),
        (
            "ALTER TABLE fact_transactions ALTER mobile_id TYPE varchar(3)",
            f"1,abc,1,{AT}\n2,abcd,1,{AT}\n3,abcd,1,{AT}",
            "",
            "line 3, column mobile_id: value too long",
        ),
        (
            "ALTER TABLE fact_transactions ALTER mobile_id SET NOT NULL",
            f"1,abc,1,{AT}\n2,,1,{AT}",
            "",
            "line 3, column mobile_id: null value",
        ),
        (
            "ALTER TABLE fact_transactions ADD CHECK (total_amount < 5)",
            f'1,"a\nb",1,{AT}\n2,a,7,{AT}',
            "",
            "line 4, column total_amount: .*check constraint",
        ),
        (
            "ALTER TABLE fact_transaction_items ALTER quantity TYPE int",
            "",
            "1,1,5,1,1\n2,1,5,0.350,1",
            r'line 3, column quantity: "0.350" is not whole.*ALTER TABLE fact_transaction_items',
        ),
        (
            "ALTER TABLE fact_transactions ALTER total_amount TYPE int",
            f"1,a,1.00,{AT}\n2,a,1.5,{AT}",
            "",
            'line 3, column total_amount: "1.5" is not whole',
        ),
    ],
)
def test_a_row_that_the_crms_own_table_refuses_is_named_and_nothing_is_loaded(
    database_url: str, tmp_path: Path, ddl: str, orders: str, lines: str, said: str
) -> None:
    bring(database_url, tmp_path, menu="5,Soup,1,d")
    with psycopg.connect(database_url) as connection:
        connection.execute(ddl)  # type: ignore[call-overload]
    with pytest.raises(LoadError, match=said) as refused:
        bring(database_url, tmp_path, orders, lines)
    assert "abc" not in str(refused.value) and "nothing was loaded" in str(refused.value)
    assert rows(database_url, "SELECT count(*) FROM fact_transactions") == [[0]]


def test_an_int_quantity_takes_whole_numbers(database_url: str, tmp_path: Path) -> None:
    bring(database_url, tmp_path)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE fact_transaction_items ALTER quantity TYPE int")
    bring(database_url, tmp_path, lines="1,1,5,6.0,1")
    assert rows(database_url, "SELECT quantity FROM fact_transaction_items") == [[6]]


@pytest.mark.parametrize(("quantity", "becomes"), [("2", "integer"), ("0.350", "numeric"), ("3000000000", "numeric")])
def test_quantities_that_load_makes_are_integers_unless_something_is_weighed(
    database_url: str, tmp_path: Path, quantity: str, becomes: str
) -> None:
    bring(database_url, tmp_path, lines=f"1,1,5,1,1\n2,1,5,{quantity},1")
    query = "SELECT pg_typeof(quantity)::text, quantity::text FROM fact_transaction_items WHERE id = 2"
    assert rows(database_url, query) == [[becomes, quantity]]


def test_a_cost_is_loaded_and_passed_over_where_the_table_has_none(database_url: str, tmp_path: Path) -> None:
    menu = "item_id,menu_item_name,price,category,cost\n5,Soup,6.50,Starters,1.20"
    assert bring(database_url, tmp_path, menu=menu).warnings == []
    assert rows(database_url, "SELECT cost::text FROM dim_menu_items") == [["1.20"]]
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE dim_menu_items DROP cost; DELETE FROM dim_menu_items")
    (warning,) = bring(database_url, tmp_path, menu=menu).warnings
    assert "dim_menu_items has no column cost" in warning


def test_another_datestyle_and_another_encoding_of_the_database_make_no_difference(
    database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET DateStyle = 'German, DMY'")  # type: ignore[call-overload]
        connection.execute(f"ALTER DATABASE {name} SET client_encoding = 'LATIN1'")  # type: ignore[call-overload]
    bring(database_url, tmp_path, f"1,Zoë,1,{AT}")
    query = "SELECT convert_to(mobile_id, 'UTF8'), extract(epoch FROM created_at)::int FROM fact_transactions"
    assert rows(database_url, query) == [["Zoë".encode(), 1717592400]]
