"""`load`: real files are loaded completely; bad ones are refused with file, line, column and reason, and nothing is
loaded.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from errors import LoadError, UnavailableError
from source.load import load
from source.loading.options import Options
from source.tables import SOURCE_TABLES
from tests.system import read
from tests.worker.test_workers import files_in, frame_of

HEADER = "transaction_id,mobile_id,total_amount,created_at"
GOOD = "1,+44,10.00,2026-03-02 12:00:00+00:00"


def csv(folder: Path, *lines: str, name: str = "orders.csv", end: str = "\n") -> Path:
    path = folder / name
    path.write_bytes((end.join(lines) + end).encode())
    return path


def load_orders(url: str, path: Path, timezone: str = "UTC") -> dict[str, int]:
    return load(url, {"fact_transactions": path}, timezone=timezone).rows


def tables(url: str) -> set[str]:
    return set(read(url, "SELECT relname FROM pg_class WHERE relname ~ '^(fact|dim)_[a-z_]+s$'").relname)


def test_real_folders_load_whole(database_url: str, data_folder: Path) -> None:
    files = files_in(data_folder)
    seen: dict[str, list[int]] = {}
    loaded = load(
        database_url, files, timezone="UTC", progress=lambda name, done, total: seen.setdefault(name, []).append(done)
    )
    assert loaded.rows == {table: len(frame_of(path)) for table, path in files.items()}
    reported = read(database_url, "SELECT sum(total_amount) AS total, max(created_at) AS last FROM fact_transactions")
    frame = frame_of(files["fact_transactions"])
    assert reported.total[0] == sum(Decimal(str(amount)) for amount in frame.total_amount)
    assert reported["last"][0] == frame.created_at.max()
    assert all(steps == sorted(steps) and steps for steps in seen.values())


def test_missing_tables_are_made_with_keys_and_indexes_even_without_a_file(database_url: str) -> None:
    assert load(database_url, {}, timezone="UTC").rows == {}
    assert tables(database_url) == set(SOURCE_TABLES)
    made = read(database_url, "SELECT count(*) AS n FROM pg_index WHERE indrelid = 'fact_transactions'::regclass")
    assert made.n[0] == 3


def test_only_an_empty_field_is_null(database_url: str, tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, "1,,,", '2,"",1,', "3,NULL,1,", "4,NA,1,", "5,None,1,", '6,"a ""b""",1,')
    load_orders(database_url, path)
    found = read(database_url, "SELECT mobile_id FROM fact_transactions ORDER BY transaction_id").mobile_id.tolist()
    assert found == [None, None, "NULL", "NA", "None", 'a "b"']


def test_times_without_an_offset_are_in_the_time_zone(database_url: str, tmp_path: Path) -> None:
    path = csv(tmp_path, HEADER, "1,a,1,2026-07-01 12:00", "2,a,1,2026-07-01T12:00:00Z", "3,a,1,2026-01-01 12:00:00")
    load_orders(database_url, path, "Europe/London")
    found = read(database_url, "SELECT created_at FROM fact_transactions ORDER BY transaction_id").created_at
    assert [at.astimezone(UTC).hour for at in found] == [11, 12, 12]


def test_half_cents_extra_columns_and_any_order_of_columns_are_kept_as_they_are(
    database_url: str, tmp_path: Path
) -> None:
    path = csv(tmp_path, "note,price,item_id,quantity,transaction_id,id", "now,0.125,5,6.0,2,1", name="lines.csv")
    load(database_url, {"fact_transaction_items": path}, timezone="UTC")
    found = read(database_url, "SELECT * FROM fact_transaction_items").iloc[0]
    assert (found.price, found.quantity, found["item_id"]) == (Decimal("0.125"), 6, 5)


def test_with_a_decimal_comma_a_point_separates_thousands_except_in_numbers_of_parquet(
    database_url: str, tmp_path: Path
) -> None:
    options = Options(delimiter=";", decimal=",")
    path = csv(tmp_path, HEADER.replace(",", ";"), "1;a;1.234;2026-03-02 12:00", "2;a;2,5;2026-03-02 12:00")
    load(database_url, {"fact_transactions": path}, timezone="UTC", options=options)
    frame = pd.DataFrame(
        {"transaction_id": [3], "mobile_id": ["a"], "total_amount": [1.234], "created_at": ["2026-03-02 12:00"]}
    )
    frame.to_parquet(tmp_path / "orders.parquet")
    load(database_url, {"fact_transactions": tmp_path / "orders.parquet"}, timezone="UTC", options=options)
    found = read(database_url, "SELECT total_amount FROM fact_transactions ORDER BY transaction_id").total_amount
    assert found.tolist() == [1234, Decimal("2.5"), Decimal("1.234")]
    path = csv(tmp_path, HEADER.replace(",", ";"), "4;a;1;2026-03-02 12:00", "5;a;12.50;2026-03-02 12:00")
    with pytest.raises(LoadError, match=r'line 3, column total_amount: "12\.50" has no decimal comma'):
        load(database_url, {"fact_transactions": path}, timezone="UTC", options=options)


def test_a_byte_order_mark_and_windows_line_ends_are_read(database_url: str, tmp_path: Path) -> None:
    path = csv(tmp_path, "\ufeff" + HEADER, GOOD, end="\r\n")
    assert load_orders(database_url, path) == {"fact_transactions": 1}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HEADER, GOOD, "2,a,ten,2026-03-02"], ["line 3", "column total_amount", '"ten"']),
        ([HEADER, "NULL,a,1,2026-03-02"], ["line 2", "column transaction_id", '"NULL"']),
        ([HEADER, "1,a,1,05/06/2026"], ["line 2", "column created_at", "--date-order"]),
        ([HEADER, GOOD, "2,a,1,2026-03-02 12:00 EST"], ["line 3", "column created_at", "ambiguous time zone"]),
        ([HEADER, GOOD, '2,a,"1,234",2026-03-02'], ["line 3", "column total_amount", "--decimal"]),
        ([HEADER, GOOD, '2,a,1,"2026-03-02'], ["line 3", "quotation mark"]),
        ([HEADER, GOOD, '2,"a,1,2026-03-02', "3,a,1,2026-03-02"], ["line 3"]),
        ([HEADER, '2,"a,1,2026-03-02', '3,"b",1,2026-03-02', GOOD], ["line 2", "text follows a closing quotation"]),
        ([HEADER, GOOD, r'2,"a \"b\"",1,2026-03-02'], ["line 3", "have to be doubled"]),
        ([HEADER.replace(",", ', "') + '"', '1, "a", 1, "2026-03-02"'], ["line 1", "quotation marks"]),
        ([HEADER.replace(",", ";"), GOOD], ["no columns", "transaction_id, mobile_id", "--delimiter ';'"]),
        ([HEADER, GOOD, "2,a,1,2026-02-30"], ["line 3", "column created_at", "2026-02-30"]),
        ([HEADER, GOOD, "2,a,1,now"], ["line 3", "column created_at", '"now"']),
        ([HEADER, GOOD, "2,a,1,today"], ["line 3", "column created_at", '"today"']),
        ([HEADER, GOOD, "2,a,NULL,2026-03-02"], ["line 3", "column total_amount", '"NULL"']),
        ([HEADER, GOOD, "2,a,1"], ["line 3", "missing data"]),
        ([HEADER, GOOD, "2,a,1,2026-03-02,5"], ["line 3", "extra data"]),
        ([HEADER, GOOD, GOOD], ["line 3", "column transaction_id", "key 1 exists already"]),
        ([HEADER, GOOD, ",a,1,2026-03-02"], ["line 3", "column transaction_id", "key is missing"]),
        ([HEADER, '1,"two\nlines",1,2026-03-02', "2,a,x,2026-03-02"], ["line 4", "column total_amount"]),
        ([HEADER, '1,"two\nlines",1,2026-03-02', "1,a,1,2026-03-02"], ["line 4", "key 1 exists already"]),
        (["transaction_id,mobile_id,created_at"], ["no column total_amount", "mobile_id"]),
        ([HEADER + ",mobile_id", GOOD + ",b"], ["two columns 'mobile_id'"]),
        ([""], ["is empty"]),
    ],
)
def test_a_bad_row_stops_the_load_and_nothing_is_there(
    database_url: str, tmp_path: Path, lines: list[str], said: list[str]
) -> None:
    path = csv(tmp_path, *lines)
    with pytest.raises(LoadError) as refused:
        load_orders(database_url, path)
    message = str(refused.value)
    assert all(part in message for part in [str(path), *said]) and "\n" not in message, message
    assert tables(database_url) == set()


def test_a_repeated_key_stops_the_load_also_where_the_table_has_no_key(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(SOURCE_TABLES["fact_transactions"].ddl.replace(", PRIMARY KEY (transaction_id)", ""))
        connection.execute("INSERT INTO fact_transactions VALUES (7)")
    for repeated, line in (([GOOD, GOOD], 3), ([GOOD, "7,a,1,2026-03-02"], 3), (["7,a,1,2026-03-02", GOOD], 2)):
        with pytest.raises(LoadError, match=f"line {line}, column transaction_id: the key . exists already"):
            load_orders(database_url, csv(tmp_path, HEADER, *repeated))
    assert read(database_url, "SELECT transaction_id FROM fact_transactions").transaction_id.tolist() == [7]
    assert load_orders(database_url, csv(tmp_path, HEADER, GOOD)) == {"fact_transactions": 1}


def test_a_bad_number_in_line_70000_is_found_there(database_url: str, tmp_path: Path) -> None:
    lines = [f"{number},a,1.00,2026-03-02 12:00:00" for number in range(2, 80_000)]
    lines[69_998] = "70000,a,1.0O,2026-03-02 12:00:00"
    with pytest.raises(LoadError, match=r'line 70000, column total_amount: .*"1\.0O"'):
        load_orders(database_url, csv(tmp_path, HEADER, *lines))
    assert tables(database_url) == set()


def test_a_key_that_was_loaded_before_is_refused_and_the_first_load_stays(database_url: str, tmp_path: Path) -> None:
    load_orders(database_url, csv(tmp_path, HEADER, GOOD))
    with pytest.raises(LoadError, match="line 3, column transaction_id: the key 1 exists already"):
        load_orders(database_url, csv(tmp_path, HEADER, "5,a,1,2026-03-02", GOOD, name="again.csv"))
    assert read(database_url, "SELECT count(*) AS n FROM fact_transactions").n[0] == 1


def test_one_bad_file_of_several_leaves_all_unloaded(database_url: str, tmp_path: Path) -> None:
    files = {
        "fact_transactions": csv(tmp_path, HEADER, GOOD),
        "dim_menu_items": csv(tmp_path, "item_id,menu_item_name,price,category", "1,Soup,five,Starters", name="m.csv"),
    }
    with pytest.raises(LoadError, match=r"m\.csv, line 2, column price"):
        load(database_url, files, timezone="UTC")
    assert tables(database_url) == set()


def test_parquet_holes_are_null_and_a_bad_row_is_named(database_url: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": [1, 2],
            "transaction_id": [7.0, None],
            "item_id": [1, 2],
            "quantity": [2.0, None],
            "price": [0.125, float("nan")],
        }
    )
    path = tmp_path / "lines.parquet"
    frame.to_parquet(path)
    load(database_url, {"fact_transaction_items": path}, timezone="UTC")
    found = read(database_url, "SELECT transaction_id, quantity FROM fact_transaction_items ORDER BY id")
    assert found.values.tolist() == [[7, 2], [None, None]]
    frame.assign(id=[3, 4], item_id=[1.0, 1.5]).to_parquet(path)
    with pytest.raises(LoadError, match="row 2, column item_id: this float is not a whole number"):
        load(database_url, {"fact_transaction_items": path}, timezone="UTC")


def test_naive_parquet_times_are_in_the_time_zone(database_url: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "transaction_id": [1],
            "mobile_id": ["a"],
            "total_amount": [1.5],
            "created_at": [datetime(2026, 7, 1, 12)],
        }
    )
    frame.to_parquet(tmp_path / "orders.parquet")
    load_orders(database_url, tmp_path / "orders.parquet", "Europe/London")
    assert read(database_url, "SELECT created_at FROM fact_transactions").created_at[0].astimezone(UTC).hour == 11


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("orders.xlsx", b"", r"neither in \.csv, .* nor in \.parquet"),
        ("orders.parquet", b"PAR0", "can't be read as Parquet"),
        ("orders.csv", b"\xff\xfea", "line 1: the byte 0x61 is not UTF-16"),
        ("orders.csv.gz", b"no gzip", "can't be decompressed"),
        ("orders.csv", b"\x1f\x8b\x08", r"compressed by gzip; its name should end in \.gz"),
        ("orders.csv", b"PK\x03\x04\x14", "an Excel workbook"),
        ("orders.csv", HEADER.encode("utf-16-le"), "--encoding utf-16-le"),
        ("orders.csv", HEADER.encode("utf-16-be"), "--encoding utf-16-be"),
        ("orders.csv", HEADER.encode() + b"\n1,a\0,1,2026-03-02\n", "line 2: a zero byte"),
        ("orders.csv", HEADER.encode() + b"\n1,\xff,1,2026-03-02\n", "line 2"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused(
    database_url: str, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadError, match=said):
        load_orders(database_url, tmp_path / name)


def test_a_file_that_is_not_there_is_named(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"nowhere\.csv can't be read: No such file"):
        load_orders(database_url, tmp_path / "nowhere.csv")


def test_views_and_tables_of_the_crm_are_used_as_they_are(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE orders (transaction_id int, mobile_id varchar(9), total_amount float8,"
            " created_at timestamptz)"
        )
        connection.execute("CREATE VIEW fact_transactions AS SELECT * FROM orders")
    load_orders(database_url, csv(tmp_path, HEADER, GOOD))
    assert read(database_url, "SELECT count(*) AS n FROM orders").n[0] == 1


def test_an_unreachable_database_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as refused:
        load_orders("postgresql://u:pw-in-url@127.0.0.1:1/x", csv(tmp_path, HEADER, GOOD))
    assert "can't be reached" in str(refused.value) and "pw-in-url" not in str(refused.value)
