"""`smartcrm load`: its output, warnings and errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import invoked, smartcrm
from tests.source.exports import SHOPIFY, TILL
from tests.system import read

HEADER = "transaction_id,mobile_id,total_amount,created_at\n"


def test_an_export_is_guessed_loaded_and_updated(
    tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "till.csv").write_bytes(TILL.encode("cp1252"))
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "TIMEZONE": "Europe/Berlin"}
    sales = ["load", "--sales", str(tmp_path / "till.csv")]
    reported = json.loads(invoked(tmp_path, *sales, "--guess", "--json", **env).stdout)
    assert reported["columns"]["created_at"] == ["Datum", "Uhrzeit"] and (tmp_path / "map.toml").exists()
    sales += ["--map", str(tmp_path / "map.toml")]
    first = invoked(tmp_path, *sales, **env)
    assert "3 rows into fact_transactions" in first.stdout and "recompute --wait" in first.stdout, first.stderr
    again = smartcrm(tmp_path, *sales, **env)
    assert again.returncode == 1 and "line 2, column transaction_id: the key R-0001 exists already" in again.stderr
    (tmp_path / "till.csv").write_bytes(TILL.replace(";6,50", ";7,50").encode("cp1252"))
    updated = invoked(tmp_path, *sales, "--on-conflict", "update", **env)
    assert "1 row updated in fact_transactions" in updated.stdout and "recompute --full" in updated.stdout
    totals = read(database_url, "SELECT total_amount FROM fact_transactions ORDER BY 1").total_amount
    assert [str(total) for total in totals] == ["20.16", "24.40", "1234.50"]


def test_what_a_file_says_is_neither_markup_nor_control(tmp_path: Path, database_url: str, redis_url: str) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    path = tmp_path / "[red]orders.csv"
    path.write_text(HEADER + "1,nan,1,2024-06-05\n2,a,[/x]\x1b[31m,2024-06-05\n")
    refused = smartcrm(tmp_path, "load", "--transactions", str(path), **env)
    assert refused.returncode == 1 and "[/x]" in refused.stderr and "\x1b" not in refused.stderr
    path.write_text(HEADER + "1,nan,1,2024-06-05\n")
    reported = invoked(tmp_path, "load", "--transactions", str(path), **env)
    assert "1 row into fact_transactions\n" in reported.stdout, reported.stderr
    assert "[red]orders.csv" in reported.stderr and "nan" in reported.stderr and "noon" in reported.stderr


def test_a_map_that_ships_is_found_by_its_name(tmp_path: Path, database_url: str, redis_url: str) -> None:
    (tmp_path / "orders.csv").write_text(SHOPIFY)
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    done = invoked(tmp_path, "load", "--sales", str(tmp_path / "orders.csv"), "--map", "shopify", **env)
    assert "2 rows into fact_transactions" in done.stdout and "3 rows left out by status" in done.stdout, done.stderr


def test_options_that_do_not_go_together_are_reported(tmp_path: Path, database_url: str, redis_url: str) -> None:
    env = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    for arguments, said in (
        (["--sales", "x.csv"], "--sales needs --map"),
        (["--sales", "x.csv", "--items", "y.csv"], "--sales can't be combined"),
        (["--guess"], "--guess is for --sales"),
        (["--sales", "x.csv", "--map", "nope"], "the built-in maps are shopify, square, till"),
        (["--transactions", "x.csv", "--encoding", "latin-99"], "not an encoding"),
    ):
        done = invoked(tmp_path, "load", *arguments, **env)
        assert done.exit_code != 0 and said in f"{done.output} {done.exception}"
