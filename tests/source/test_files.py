"""Files in the formats of tills, spreadsheets and data frames, each loaded completely."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import LoadError
from source.load import load
from source.loading.options import Options
from source.loading.streams import Quotes
from tests.system import read

HEADER = "transaction_id,mobile_id,total_amount,created_at"
ROWS = ["1,+44,1.50,2024-06-05 13:00", '2,"a, ""b""\nc",2,2024-06-05 14:00', "3,Café,3,2024-06-05 15:00"]
SEMICOLONS = [row.replace(",", ";").replace("a;", "a,") for row in ROWS]
RIGHT = [(1, "+44", Decimal("1.50"), 13), (2, 'a, "b"\nc', 2, 14), (3, "Café", 3, 15)]


def text(*lines: str, end: str = "\n", last: str = "\n") -> str:
    return end.join(lines) + last


def orders(url: str) -> list[tuple[object, ...]]:
    frame = read(url, "SELECT * FROM fact_transactions ORDER BY transaction_id")
    return [(row[0], row[1], row[2], row[3].astimezone(UTC).hour) for row in frame.values.tolist()]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("o.csv", text(HEADER, *ROWS).encode(), Options()),
        ("o.CSV", text(HEADER, *ROWS, last="").encode(), Options()),
        ("o.csv", text(HEADER, *ROWS).encode("utf-8-sig"), Options()),
        ("o.csv", text(HEADER, *ROWS).encode("utf-8-sig"), Options(encoding="utf-8")),
        ("o.csv", text(HEADER, *ROWS).encode("utf-16"), Options()),
        ("o.csv", text(HEADER, *ROWS).encode("utf-16-le"), Options(encoding="utf-16-le")),
        ("o.csv", text(HEADER, *ROWS).encode("cp1252"), Options(encoding="cp1252")),
        ("o.csv.gz", gzip.compress(text(HEADER, *ROWS).encode()), Options()),
        ("o.txt.gz", gzip.compress(text(HEADER, *ROWS).encode("utf-16")), Options()),
        ("o.csv", text("", "", HEADER, "", *ROWS, "", "").encode(), Options()),
        ("o.csv", text(HEADER, *ROWS, ",,,", ",,,").encode(), Options()),
        ("o.csv", text(HEADER + ",", *(row + "," for row in ROWS)).encode(), Options()),
        ("o.csv", text(HEADER, *(row + "," for row in ROWS)).encode(), Options()),
        ("o.csv", text(HEADER, ROWS[0], *(row + ",," for row in ROWS[1:])).encode(), Options()),
        ("o.csv", text(HEADER + ",,", *ROWS).encode(), Options()),
        ("o.csv", text(HEADER.upper(), *ROWS).encode(), Options()),
        ("o.csv", text("Transaction ID, Mobile-Id ,TOTAL AMOUNT,created_At", *ROWS).encode(), Options()),
        ("o.csv", text(HEADER + ",note,note", *(row + ",x,y" for row in ROWS)).encode(), Options()),
        ("o.csv", (HEADER + "\r" + ROWS[0] + "\r\n" + ROWS[1] + "\n" + ROWS[2]).encode(), Options()),
        ("o.csv", text("sep=,", HEADER, *ROWS).encode(), Options()),
        ("o.csv", text("SEP=;", HEADER.replace(",", ";"), *SEMICOLONS).encode(), Options()),
        ("o.csv", text(HEADER.replace(",", ";"), *SEMICOLONS, end="\r\n").encode(), Options(delimiter=";")),
        ("o.tsv", text(HEADER, *ROWS).replace(",", "\t").replace("a\t", "a,").encode(), Options()),
        ("o.csv", text(HEADER, *ROWS).replace(",", "|").replace("a|", "a,").encode(), Options(delimiter="|")),
    ],
)
def test_every_form_gives_the_same_orders(
    database_url: str, tmp_path: Path, name: str, content: bytes, options: Options
) -> None:
    (tmp_path / name).write_bytes(content)
    loaded = load(database_url, {"fact_transactions": tmp_path / name}, timezone="UTC", options=options)
    assert loaded.rows == {"fact_transactions": 3} and orders(database_url) == RIGHT


def test_a_line_end_within_quotes_at_a_blocks_edge_is_kept(database_url: str, tmp_path: Path) -> None:
    names = [("x" * (1000 + number % 7) + "\n") * 3 for number in range(2_000)]
    lines = [f'{number},"{name}",1,2024-06-05 13:00' for number, name in enumerate(names)]
    (tmp_path / "o.csv").write_text(text(HEADER, *lines))
    load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC")
    found = read(database_url, "SELECT mobile_id FROM fact_transactions ORDER BY transaction_id").mobile_id
    assert found.tolist() == names


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ([HEADER, *ROWS, "4,a"], 6),
        ([HEADER, *ROWS, "", "4,a,1,2024-06-05 13:00,5"], 7),
        (["", HEADER, *ROWS, "4,a,ten,2024-06-05 13:00"], 7),
        (["sep=,", HEADER, *ROWS, "4,a,ten,2024-06-05 13:00"], 7),
        ([HEADER, ROWS[0] + ",", *ROWS[1:], "4,a,ten,2024-06-05 13:00"], 6),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_bad_line_is_named_as_an_editor_counts(
    database_url: str, tmp_path: Path, lines: list[str], line: int, end: str
) -> None:
    (tmp_path / "o.csv").write_bytes(text(*lines, end=end).encode())
    with pytest.raises(LoadError, match=f"o.csv, line {line}[,:]"):
        load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC")


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", b"\n4,caf\xe9,1,2024-06-05 13:00\n"),
        ("cp1252", b"\n4,caf\x81,1,2024-06-05 13:00\n"),
        ("ascii", b"\n4,caf\xe9,1,2024-06-05 13:00\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_that_is_no_text_is_named_by_its_line(
    database_url: str, tmp_path: Path, encoding: str, content: bytes, end: str
) -> None:
    many = [f"{number},a,1,2024-06-05 13:00" for number in range(60_000)]
    (tmp_path / "o.csv").write_bytes(text(HEADER, *many, end=end, last="").encode() + content)
    with pytest.raises(LoadError, match=r"line 60002: the byte 0x(e9|81) is not"):
        options = Options(encoding=encoding)
        load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC", options=options)


@pytest.mark.parametrize(
    ("column", "right"),
    [
        (pa.array([447700900001.0, None, 7.0]), ["447700900001", None, "7"]),
        (pa.array([447700900001.0, float("nan"), 1e15]), ["447700900001", None, "1000000000000000"]),
        (pa.array([7.0, None, 12.0], pa.float32()), ["7", None, "12"]),
        (pa.array([447700900001, None, -3]), ["447700900001", None, "-3"]),
        (pa.array([Decimal("447700900001.00"), None, Decimal("7.00")]), ["447700900001", None, "7"]),
        (pa.array(["+44", "", None]), ["+44", None, None]),
        (pa.array(["+44", None, "7"]).dictionary_encode(), ["+44", None, "7"]),
        (pa.array(["+44", None, "7"], pa.large_string()), ["+44", None, "7"]),
        (pa.nulls(3), [None, None, None]),
    ],
)
def test_parquet_ids_of_any_type_are_their_digits(
    database_url: str, tmp_path: Path, column: pa.Array, right: list[str | None]
) -> None:
    load(database_url, {"fact_transactions": parquet(tmp_path, mobile_id=column)}, timezone="UTC")
    found = read(database_url, "SELECT mobile_id FROM fact_transactions ORDER BY transaction_id").mobile_id
    assert found.tolist() == right


def parquet(folder: Path, **columns: pa.Array) -> Path:
    table = {
        "transaction_id": pa.array([1, 2, 3]),
        "mobile_id": pa.array(["a", "b", "c"]),
        "total_amount": pa.array([1.5, 0.1, 3.0]),
        "created_at": pa.array([datetime(2024, 6, 5, 13)] * 3),
        "basket": pa.array([[1], [], None]),  # columns that we don't know may have any type
        "address": pa.array([{"town": "x"}, None, None]),
    }
    pq.write_table(pa.table(table | columns), folder / "o.parquet")
    return folder / "o.parquet"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1.0, 1.5, 2.0]), "row 2, column mobile_id: this float is not a whole number"),
        (pa.array([1.0, 2.0, 2.0**53]), "row 3, column mobile_id: this float"),
        (pa.array([1.0, 2.0**24, 2.0], pa.float32()), "row 2, column mobile_id: this float"),
        (pa.array([1.0, float("inf"), 2.0]), "row 2, column mobile_id: this float"),
        (pa.array([Decimal("7.00"), Decimal("7.50"), None]), "row 2, column mobile_id: this decimal is not a whole"),
        (pa.array([b"a", b"b", b"\xff"]), "row 3, column mobile_id: its bytes are not UTF-8"),
        (pa.array(["a", "b\0", None], pa.large_string()), "row 2, column mobile_id: its bytes are not UTF-8"),
        (pa.array([True, False, True]), "column mobile_id: the column has the type bool"),
        (pa.array([[1], [2], [3]]), "column mobile_id: the column has the type list"),
    ],
)
def test_parquet_ids_that_no_longer_are_what_they_were_are_refused(
    database_url: str, tmp_path: Path, column: pa.Array, said: str
) -> None:
    with pytest.raises(LoadError, match=said):
        load(database_url, {"fact_transactions": parquet(tmp_path, mobile_id=column)}, timezone="UTC")


@pytest.mark.parametrize(
    ("column", "hour"),
    [
        (pa.array([datetime(2024, 6, 5, 13, tzinfo=UTC)] * 3, pa.timestamp("us", "America/New_York")), 13),
        (pa.array([datetime(2024, 6, 5, 13)] * 3, pa.timestamp("ns")), 12),
        (pa.array([datetime(2024, 6, 5, 13)] * 3, pa.timestamp("s")), 12),
        (pa.array([date(2024, 6, 5)] * 3), 11),
        (pa.array(["2024-06-05 13:00"] * 3), 12),
    ],
)
def test_parquet_times_of_any_type_are_instants(database_url: str, tmp_path: Path, column: pa.Array, hour: int) -> None:
    loaded = load(database_url, {"fact_transactions": parquet(tmp_path, created_at=column)}, timezone="Europe/London")
    assert {row[3] for row in orders(database_url)} == {hour}
    assert ["noon" in warning for warning in loaded.warnings] == [True] * pa.types.is_date(column.type)


def test_parquet_times_of_day_are_dayparts(database_url: str, tmp_path: Path) -> None:
    table = {"daytime_id": [1.0], "daytime_label": ["Day"], "start_time": [time(6)], "end_time": [time(23, 59)]}
    pq.write_table(pa.table(table), tmp_path / "d.parquet")
    load(database_url, {"dim_menu_daytimes": tmp_path / "d.parquet"}, timezone="UTC")
    assert read(database_url, "SELECT * FROM dim_menu_daytimes").values.tolist() == [[1, "Day", time(6), time(23, 59)]]


@pytest.mark.parametrize(
    ("encoding", "options", "said"),
    [
        ("utf-16-le", Options(encoding="utf-16"), "try --encoding utf-16-le"),
        ("utf-8-sig", Options(encoding="cp1252"), "the byte order mark of UTF-8, but --encoding is cp1252"),
        ("utf-16", Options(encoding="utf-8"), "the byte order mark of UTF-16, but --encoding is utf-8"),
        ("utf-8", Options(delimiter="§"), "--delimiter is '§'; it is one character of ASCII"),
        ("utf-8", Options(delimiter='"'), "one character of ASCII, or the word tab"),
        ("utf-8", Options(delimiter="||"), "one character of ASCII, or the word tab"),
    ],
)
def test_options_that_can_not_be_those_of_the_file_are_refused(
    database_url: str, tmp_path: Path, encoding: str, options: Options, said: str
) -> None:
    (tmp_path / "o.csv").write_bytes(text(HEADER, *ROWS).encode(encoding))
    with pytest.raises(LoadError, match=said):
        load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC", options=options)


@given(st.text(st.sampled_from('a,"\n'), max_size=12), st.integers(1, 4))
def test_misplaced_quotation_marks_are_never_overlooked(content: str, size: int) -> None:
    quotes, data = Quotes(","), content.encode()
    for start in range(0, len(data), size):
        quotes.add(data[start : start + size])
    if quotes.ended():
        list(csv.reader(io.StringIO(content, newline=""), strict=True))


WARNED = [
    (["nan", "NULL", "None", "n/a", ""], "words such as NULL, None or nan", "4, the first in line 2"),
    (["a", " ", "  "], "values that are only spaces", "2, the first in line 3"),
    (["a", "a ", "a b"], "values with spaces before or after them", "1, the first in line 3"),
    (["a", "4.477E+11", "4,477E+11"], "numbers that a spreadsheet has shortened", "2, the first in line 3"),
    (["447700900001.0", "447700900002"], "whole numbers with a decimal point", "1, the first in line 2"),
]


@pytest.mark.parametrize(("ids", "what", "where"), WARNED)
def test_ids_that_something_has_spoilt_are_reported_with_their_number_and_first_line(
    database_url: str, tmp_path: Path, ids: list[str], what: str, where: str
) -> None:
    lines = [f'{number},"{each}",1,2024-06-05 13:00' for number, each in enumerate(ids)]
    (tmp_path / "o.csv").write_text(text(HEADER, *lines))
    (warning,) = load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC").warnings
    assert what in warning and where in warning
    found = read(database_url, "SELECT mobile_id FROM fact_transactions ORDER BY transaction_id").mobile_id
    assert found.tolist() == [each.removesuffix(".0") or None for each in ids]


@pytest.mark.parametrize("make", [lambda row: row, lambda row: row + ","], ids=["arrow", "ragged"])
def test_memory_stays_flat(database_url: str, tmp_path: Path, make: Callable[[str], str]) -> None:
    lines = [make(f"{number},a,1,2024-06-05 13:00") for number in range(200_000)]
    (tmp_path / "o.csv").write_text(text(HEADER, *lines))
    before = pa.total_allocated_bytes()
    peaks: list[int] = []

    def look(*_: object) -> None:
        peaks.append(pa.total_allocated_bytes() - before)

    load(database_url, {"fact_transactions": tmp_path / "o.csv"}, timezone="UTC", progress=look)
    assert len(orders(database_url)) == 200_000 and max(peaks) < 40_000_000
