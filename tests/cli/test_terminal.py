"""Output and exports of the command: data unchanged, no markup, control characters or formulas; JSON; its version."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import re
import stat
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import psycopg
import pytest

from cli import console, tables, terminal
from kinds.menu.matrix import MatrixItem, MenuMatrix
from kinds.menu.models import MenuResult
from kinds.menu.results import RankedDaypart
from kinds.rfm import results
from kinds.rfm.preview import Move, MovingCustomer, Preview, SegmentBeside
from kinds.rfm.results import CutPoints
from source.checks import Finding
from store.models import Event, Run
from store.runs import RunState
from tests.builders import items, transactions
from tests.command import invoked, smartcrm
from tests.system import fill, make_settings, read, run_inline

HOSTILE = (
    *(
        "Fish [/chips]",
        "Soup [vegan]",
        "[red]x",
        ":smile:",
        "\x1b]0;owned\x07",
        "\x1b[31mred",
        "\x9b31mred",
        "a\u202eb",
    ),
    *("one\ntwo", "one\rtwo", "tab\there", "\x7f", "[link=http://x]y[/link]", "日本 [ok]"),
)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Row:
    """A row that has every attribute."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def every_table(text: str) -> None:
    """Print every table, with this text in all places for data."""
    numbers = {"customers": 1, "share": 0.5, "revenue_share": 0.5, "median_recency_days": 1.0}
    points = dict.fromkeys(("recency_days", "frequency", "monetary"), CutPoints(True, True, [Fraction(1, 3)]))
    summary = Row(segment=text, median_frequency=1.0, median_monetary=1.0, **numbers)
    tables.show_summary([summary], points, [text])
    one = Decimal("1.00")
    moving = MovingCustomer(text, 1, 1, one, text, None, "555", None)
    beside, move = SegmentBeside(text, 1, one, 1, one), Move(text, text, 1, one)
    tables.show_preview(Preview(1, 1, 0, 1, points, [beside], [move], [moving]))
    placed = MatrixItem(1, text, text, 1, one, one, one, None, 0.5, one, "star")
    tables.show_matrix(MenuMatrix("margin", text, 0.5, one, 0, [placed]))
    customer = {"mobile_id": text, "recency_days": 1, "frequency": 1, "monetary": Decimal("1.00"), "rfm_score": "555"}
    console.show_customers([Row(segment=text, **customer)], more=True)
    names = {"menu_item_name": text, "category": text}
    item = MenuResult(rank=1, menu_item_id=1, orders=1, units=1, units_per_piece=1, share=0.5, **names)
    daypart = RankedDaypart(1, text, [(0, 60_000_000)], [item])
    console.show_menu([daypart], top=3)
    console.show_daypart(daypart)
    run = Run(run_id=uuid4(), kind="rfm", mode="full", status="failed", requested_at=NOON, error=text)
    console.show_runs([RunState(run)])
    body = json.dumps({"type": text})
    url = "https://u:secret@example.org/p?token=secret"
    event = {"event_id": uuid4(), "run_id": uuid4(), "state": "failed", "attempts": 1, "next_attempt_at": NOON}
    console.show_events([Event(url=url, body=body, last_answer=text, **event)])
    console.show_findings([Finding("fault", text, text, text)])


@pytest.mark.parametrize("text", HOSTILE)
def test_data_is_shown_as_it_is_and_never_obeyed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(console.out, "_file", shown)
    monkeypatch.setattr(console.out, "width", 400)
    every_table(text)
    drawn = shown.getvalue()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", drawn)
    assert drawn.count(terminal.shown(text)) >= 20 and "secret" not in drawn
    if text.isprintable():
        assert terminal.shown(text) == text


def test_styles_reach_a_terminal_and_data_can_not_add_to_them() -> None:
    shown = io.StringIO()
    screen = terminal.Screen(file=shown, force_terminal=True, color_system="standard")
    screen.print(terminal.styled(("[bold]\x1b[5m", "green"), "\n", "plain"))
    assert shown.getvalue() == "\x1b[32m[bold]␛[5m\x1b[0m\nplain\n"


SOLD = [
    *("=1+1", "+441234", "-5", "@x", "\t=2", "\r=3", "007", "447700900001", "4477", "1E5", "MAR1", "true"),
    *("Ä. Öztürk", 'a,"b', " =4", "＝5", "12345678901234567890"),
]


def published(url: str, home: Path) -> None:
    sold = [(number, who, f"{number + 1}.50", NOON - timedelta(days=number)) for number, who in enumerate(SOLD)]
    sold.append((99, "-5", "-100", NOON))
    menu = pd.DataFrame([(1, "Fish [/chips]", 1, "\x1b[31m"), (2, "Soup [vegan]", 1, None)], dtype=object)
    menu.columns = ["item_id", "menu_item_name", "price", "category"]
    lines = items([(number, 1 + number % 2, "0.25" if number % 2 else "1", "4") for number in range(len(SOLD))])
    fill(
        url,
        {"fact_transactions": transactions(sold), "fact_transaction_items": lines, "dim_menu_items": menu},
        quantity="numeric",
    )
    for kind in ("rfm", "menu"):
        assert run_inline(make_settings(url, home), kind).run.status == "succeeded"


def test_an_export_is_exact_and_for_excel_it_holds_no_formula(
    tmp_path: Path, migrated_url: str, redis_url: str
) -> None:
    published(migrated_url, tmp_path)
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url}
    plain, safe, parquet = (tmp_path / name for name in ("plain.csv", "safe.csv", "out.parquet"))
    plain.touch(0o644)
    for path, *more in ((plain,), (safe, "--for-excel"), (parquet,)):
        done = invoked(tmp_path, "segments", "--export", str(path), *more, **env)
        assert done.exit_code == 0 and f"{len(SOLD)} customers into {path}" in done.stdout, done.output
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    columns = ", ".join(results.SEGMENT_COLUMNS)
    frame = read(migrated_url, f"SELECT {columns} FROM rfm_segments ORDER BY mobile_id").astype({"run_id": str})
    assert plain.read_bytes() == frame.to_csv(index=False).encode()
    assert pd.read_parquet(parquet).mobile_id.tolist() == frame.mobile_id.tolist()
    with safe.open(encoding="utf-8", newline="") as file:
        assert file.read(1) == "\ufeff"
        rows = list(csv.DictReader(file))
    kept = {row["mobile_id"].removeprefix("'"): row for row in rows}
    assert set(kept) == set(SOLD)
    apart = {name for name, row in kept.items() if row["mobile_id"] == name}
    assert apart == {"4477", "Ä. Öztürk", 'a,"b'}
    assert kept["-5"]["monetary"] == "-96.50" and all(row["run_id"] in set(frame.run_id) for row in rows)
    assert {row["segment"] for row in rows} == set(frame.segment)
    for arguments in (["--for-excel"], ["--for-excel", "--export", str(parquet)]):
        assert invoked(tmp_path, "segments", *arguments, **env).exit_code != 0


def test_every_command_that_shows_something_prints_json(tmp_path: Path, migrated_url: str, redis_url: str) -> None:
    published(migrated_url, tmp_path)

    def printed(*arguments: str) -> Any:
        done = invoked(tmp_path, *arguments, "--json", DATABASE_URL=migrated_url, REDIS_URL=redis_url)
        assert done.exit_code == 0, (done.output, done.exception)
        assert done.stdout.isascii() and "\x1b" not in done.stdout
        return json.loads(done.stdout)

    summary = printed("segments")
    assert summary["customers"] == len(SOLD) == sum(row["customers"] for row in summary["segments"])
    segment = summary["segments"][0]
    rows = printed("segments", "--segment", segment["segment"])["segments"]
    assert len(rows) == segment["customers"] and all(re.fullmatch(r"-?\d+\.\d\d", row["monetary"]) for row in rows)
    assert {row["run_id"] for row in rows} == {summary["run_id"]}
    dayparts = {part["daypart"]["daytime_id"]: part["items"] for part in printed("menu")["dayparts"]}
    lunch = printed("menu", "--at", "12:00")
    assert lunch["daypart"]["daytime_id"] == 3 and lunch["items"] == dayparts[3]
    assert [(item["menu_item_name"], item["category"], item["quantity"]) for item in lunch["items"]] == [
        ("Fish [/chips]", "\x1b[31m", 9),
        ("Soup [vegan]", None, 2),
    ]
    listed = printed("runs")["runs"]
    assert [run["kind"] for run in listed] == ["menu", "rfm"] and printed("runs", listed[0]["run_id"]) == listed[0]
    assert listed[0]["counts"]["future_transactions"] == 0 and listed[0]["progress"] == 1
    assert printed("events") == {"events": []}
    assert {"ok"} <= {finding["level"] for finding in printed("doctor")["findings"]}
    of_the_past = [("pending", "2026-03-10T23:59:59.999999+00:00")] * 2
    assert [
        (run["status"], run["as_of"]) for run in printed("recompute", "--as-of", "2026-03-10")["runs"]
    ] == of_the_past
    assert printed("migrate")["version"] == read(migrated_url, "SELECT version_num FROM alembic_version").iat[0, 0]
    orders = tmp_path / "orders.csv"
    orders.write_text("transaction_id,mobile_id,total_amount,created_at\n500,a,1,2026-01-01T12:00:00Z\n")
    assert printed("load", "--transactions", str(orders))["loaded"] == {"fact_transactions": 1}
    assert printed("forget", "4477")["removed_rows"] == 1
    assert set(printed("sign")) == {"url", "headers", "body"}


def test_the_screen_shows_names_with_brackets_and_a_runs_counts(
    tmp_path: Path, migrated_url: str, redis_url: str
) -> None:
    published(migrated_url, tmp_path)
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url}
    for arguments in (["menu"], ["menu", "--at", "12:00"]):
        done = invoked(tmp_path, *arguments, **env)
        assert done.exit_code == 0 and "\x1b" not in done.stdout, done.output
        assert "[/chips]" in done.stdout and "[vegan]" in done.stdout
    with psycopg.connect(migrated_url) as connection:
        connection.execute(
            "UPDATE fact_transactions SET created_at = now() + interval '1 year' WHERE transaction_id = 3"
        )
    run = run_inline(make_settings(migrated_url, tmp_path), "rfm").run
    shown = invoked(tmp_path, "runs", str(run.run_id), **env).stdout
    assert re.search(r"future_transactions +│ +1 │", shown), shown


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    done = smartcrm(tmp_path, "--version")
    assert done.stdout == f"smartcrm {importlib.metadata.version('smartcrm-analytics')}\n" and done.returncode == 0
