"""Maps that are guessed from a header and rows, with notes on what is not known."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errors import LoadError
from source.load import load_sales
from source.loading.guess import guess
from source.loading.maps import SHIPPED, read_map
from source.loading.options import Options
from tests.source import exports
from tests.system import read

GUESSED = {
    "cafe": (exports.CAFE, [[1, None, 4], [2, None, 12], [3, None, 4], [4, None, 10], [5, None, 4]]),
    "retail": (exports.RETAIL, [[536365, "17850", 35.64], [536370, None, 90], [536371, "14527", -27.5]]),
    "pizza": (exports.PIZZA, [[1, None, 13.25], [2, None, 50.5]]),
    "coffee": (exports.COFFEE, [[1, "ANON-0001", 38.7], [2, "ANON-0002", 38.7], [3, "ANON-0002", 38.7]]),
    "lightspeed": (exports.LIGHTSPEED, [[1001, "Ann", 12]]),
    "shopify": (exports.SHOPIFY, [[1, "+447700900003", 21], [2, "b@x.com", 3]]),
    "german": (exports.GERMAN, [[1001, "4711", 28.8], [1003, "4711", -11]]),
    "spanish": (exports.SPANISH, [[1, "+34600000001", 17.5]]),
    "english": (exports.ENGLISH, [[1, "+44", 1012], [3, "+44", -1012]]),
    "square": (exports.SQUARE, [[1, "CUST1", 1012], [2, "CUST1", -4]]),
}


@pytest.mark.parametrize("name", GUESSED)
def test_a_guessed_map_loads_its_export(database_url: str, tmp_path: Path, name: str) -> None:
    text, right = GUESSED[name]
    (tmp_path / "sales.csv").write_text(text)
    (tmp_path / "map.toml").write_text(guess(tmp_path / "sales.csv", Options()).toml())
    load_sales(database_url, tmp_path / "sales.csv", read_map(str(tmp_path / "map.toml")), timezone="UTC")
    query = "SELECT transaction_id, mobile_id, total_amount::float FROM fact_transactions ORDER BY 1"
    assert read(database_url, query).values.tolist() == right


@pytest.mark.parametrize(
    ("dates", "order", "requested"),
    [
        (["05/06/2024", "14/06/2024"], "dmy", False),
        (["05/06/2024", "06/14/2024"], "mdy", False),
        (["05.06.24", "06.07.24"], None, True),
        (["13/06/2024", "06/14/2024"], None, True),
        (["2024/06/05"], "ymd", False),
        (["2024-06-05"], None, False),
    ],
)
def test_the_order_of_dates_is_taken_from_days_above_12_or_requested(
    tmp_path: Path, dates: list[str], order: str | None, requested: bool
) -> None:
    (tmp_path / "s.csv").write_text("Date,Item,Price\n" + "".join(f"{each},Soup,5.00\n" for each in dates))
    found = guess(tmp_path / "s.csv", Options())
    assert found.options.date_order == order
    assert any("day first or month first" in note for note in found.notes) == requested


@pytest.mark.parametrize(
    ("prices", "decimal", "requested"),
    [
        (["2,39", "1.234,50"], ",", False),
        (["1,234.50"], ".", False),
        (["1,234"], None, True),
        (["0,350"], ",", False),
        (["2.39"], None, False),
    ],
)
def test_the_decimal_sign_is_taken_from_cents_or_requested(
    tmp_path: Path, prices: list[str], decimal: str | None, requested: bool
) -> None:
    (tmp_path / "s.csv").write_text("Date;Item;Price\n" + "".join(f"2024-06-05;Soup;{each}\n" for each in prices))
    found = guess(tmp_path / "s.csv", Options())
    assert (found.options.decimal, found.options.delimiter) == (decimal, ";")
    assert any("decimal?" in note for note in found.notes) == requested


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "s.csv").write_bytes("Date,Item,Price\n2024-06-05,Käse,5.00\n".encode(encoding))
    found = guess(tmp_path / "s.csv", Options())
    assert found.options.encoding == ("cp1252" if encoding == "cp1252" else None)
    assert found.columns["menu_item_name"] == ["Item"]


def test_where_nothing_can_be_guessed_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("a,b\n1,2\n")
    with pytest.raises(LoadError, match="no column looks like a time; it has a, b"):
        guess(tmp_path / "s.csv", Options())


def test_what_a_map_leaves_out_is_noted(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("Order,Date,Total,Tip\n1,2024-06-05,12.00,2.00\n")
    found = guess(tmp_path / "s.csv", Options())
    assert any("no lines are loaded" in note for note in found.notes)
    assert any("If 'Total' includes 'Tip', add tip = \"Tip\"" in note for note in found.notes)


def test_parquet_columns_that_can_not_be_loaded_are_not_used(tmp_path: Path) -> None:
    table = {"Date": ["2024-06-05"], "Item": ["Soup"], "Price": [5.0], "Paid": [True], "Tags": [["hot"]]}
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    found = guess(tmp_path / "s.parquet", Options())
    assert found.unused == ["Paid", "Tags"] and found.columns["price"] == ["Price"]


def test_every_map_that_ships_can_be_read_and_names_amounts() -> None:
    names = {path.stem for path in SHIPPED.glob("*.toml")}
    assert names == {"shopify", "square", "till"}
    for name in names:
        assert {"total_amount", "price", "line_total"} & set(read_map(name).columns)
