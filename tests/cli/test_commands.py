"""The `smartcrm` command as users run it, with valid and invalid input; long, since every command has its case."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import psycopg
import pytest
import requests
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from cli import workers
from cli.commands import cli
from embedded import locks
from errors import SmartCRMError
from store import inbox, runs
from store.database import transaction
from tests.builders import plain_orders
from tests.command import SMARTCRM, environment, serving, smartcrm
from tests.system import Workers, fill, make_settings, read, rfm_segments, run_inline, wait_for


def left_of(home: Path) -> list[str]:
    """Processes that still have this home in their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in " ".join(process.cmdline()) or process.environ().get("SMARTCRM_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.long
def test_demos_started_together_keep_apart_show_their_results_and_leave_nothing_running(tmp_path: Path) -> None:
    homes = {"": tmp_path / "one", "rfm menu": tmp_path / "two"}
    started = [
        subprocess.Popen(
            [SMARTCRM, "demo", "--once"],
            env=environment(home) | {"KINDS": kinds},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for kinds, home in homes.items()
    ]
    output = [demo.communicate(timeout=500) for demo in started]
    assert [demo.returncode for demo in started] == [0, 0], output
    urls = [re.search(r"Webhook +(http://\S+)", said).group(1) for said, _ in output]  # type: ignore[union-attr]
    assert len(set(urls)) == 2
    for home in homes.values():
        assert "Address already in use" not in (home / "logs" / "demo.log").read_text()
        wait_for(lambda home=home: not left_of(home))  # type: ignore[misc]
    for said, _ in output:
        assert "→ 202 /runs?webhook_id=" in said
        for shown in ("Champions", "Customer segments", "Menu by time of day", "Midnight Snack", "Flower"):
            assert shown in said
    (every_kind, _), _ = output
    assert every_kind.count(" list, ") == 3 and "ordered " in every_kind
    made, customers = re.search(r"([\d,]+) orders .* ([\d,]+) known customers", every_kind).groups()  # type: ignore[union-attr]
    assert 55_000 < int(made.replace(",", "")) < 65_000 and 2_500 < int(customers.replace(",", "")) < 3_500


def test_up_starts_again_after_a_kill_and_the_other_commands_use_what_it_runs(tmp_path: Path) -> None:
    home = tmp_path / "home"
    files = {}
    for table, option in (
        ("fact_transactions", "--transactions"),
        ("fact_transaction_items", "--items"),
        ("dim_menu_items", "--menu"),
    ):
        files[option] = tmp_path / f"{table}.csv"
        plain_orders(30)[table].to_csv(files[option], index=False)
    loaded = smartcrm(home, "load", *[str(part) for pair in files.items() for part in pair])
    assert loaded.returncode == 0 and "30 rows into fact_transactions" in loaded.stdout, loaded.stderr
    with serving(home) as (process, _):
        process.kill()
        process.wait()
    wait_for(lambda: not left_of(home), 60)
    with serving(home) as (process, output):
        url = re.search(r"http://127\.0\.0\.1:\d+(?=/webhooks)", output).group()  # type: ignore[union-attr]
        flower = re.search(r"Flower +(http://\S+)", output).group(1)  # type: ignore[union-attr]
        assert json.load(urllib.request.urlopen(f"{url}/healthz")) == {"status": "ok"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(flower)
        done = smartcrm(home, "recompute", "--wait")
        run_ids = re.findall(r"^\w+ full run ([0-9a-f-]{36}) succeeded$", done.stdout, re.MULTILINE)
        assert done.returncode == 0 and len(run_ids) == 2, done.stderr
        assert "30 customers" in smartcrm(home, "segments").stdout
        again = smartcrm(home, "runs", run_ids[0], "--cancel")
        assert again.returncode == 1 and "succeeded already" in again.stderr
        assert smartcrm(home, "recompute", "--incremental", "--wait").stdout.count(" incremental run") == 2
        post_signed(home, f"{url}/webhooks/imports")
        process.send_signal(signal.SIGINT)
        assert process.wait(40) == 0
    wait_for(lambda: not left_of(home))
    alone = smartcrm(home, "recompute", "rfm", "--wait")
    assert alone.returncode == 1 and "No worker is listening" in alone.stderr


def test_waiting_lasts_as_long_as_an_up_of_this_home_is_starting(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    fill(migrated_url, plain_orders(30))
    with Workers(migrated_url, redis_url, tmp_path) as workers:
        home = Path(workers.env["SMARTCRM_HOME"])
        home.mkdir(mode=0o700)
        starting = locks.take(home / "up.lock")
        assert starting is not None
        began = time.monotonic()
        command = [str(SMARTCRM), "recompute", "--wait"]
        waiting = subprocess.Popen(command, env=environment(home, **workers.env), stdout=subprocess.PIPE, text=True)
        wait_for(lambda: len(read(migrated_url, "SELECT run_id FROM analytics_runs")) == 2)
        wait_for(lambda: time.monotonic() > began + 8)  # longer than without an up
        assert waiting.poll() is None
        workers.start(beat=True)
        os.close(starting)
        output, _ = waiting.communicate(timeout=120)
        assert waiting.returncode == 0 and output.count("succeeded") == 2


def post_signed(home: Path, url: str) -> None:
    """Send the request that `smartcrm sign` prints, with another client than curl."""
    words = shlex.split(smartcrm(home, "sign", "--import-id", "7", "--kind", "rfm", "--url", url).stdout)
    headers = dict(words[place + 1].split(": ", 1) for place, word in enumerate(words) if word == "-H")
    answer = requests.post(words[4], words[-1], headers=headers, timeout=10)
    assert words[:4] == ["curl", "-i", "-X", "POST"] and words[-2] == "--data-raw"
    assert answer.status_code == 202 and [run["kind"] for run in answer.json()["runs"]] == ["rfm"]


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["up"], {"TIMEZONE": "Mars/Olympus"}, "TIMEZONE is 'Mars/Olympus'"),
        (["migrate"], {"DATABASE_URL": "postgresql://u:pw-in-url@127.0.0.1:1/x"}, "DATABASE_URL: PostgreSQL can't be"),
        (["recompute"], {"DATABASE_URL": "nonsense"}, "DATABASE_URL does not begin with postgresql://"),
        (["up"], {"REDIS_URL": "redis://127.0.0.1:1/0"}, "REDIS_URL: Redis can't be reached"),
        (["recompute", "--as-of", "yesterday"], {}, "as_of is 'yesterday'"),
        (["menu", "--at", "25:00"], {}, "--at is '25:00'"),
        (["menu"], {}, "No menu is published yet"),
        (["segments"], {}, "No segments are published yet"),
        (["segments", "--export", "x.doc"], {}, "x.doc ends neither"),
        (["runs", "8b4d7b3e-0000-0000-0000-000000000000"], {}, "There is no run 8b4d7b3e"),
        (["load", "--transactions", "/no/such.csv"], {}, "/no/such.csv can't be read"),
    ],
)
def test_bad_input_is_one_sentence_and_a_failure(
    tmp_path: Path, servers: dict[str, str], migrated_url: str, arguments: list[str], env: dict[str, str], said: str
) -> None:
    urls = {"DATABASE_URL": migrated_url, "REDIS_URL": servers["REDIS_URL"]}
    done = smartcrm(tmp_path, *arguments, **urls | env)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "pw-in-url" not in done.stderr


def test_a_segment_map_with_a_code_missing_fails_the_run_by_that_code(tmp_path: Path, migrated_url: str) -> None:
    from analytics.segments import template

    built_in = template("quintiles")
    assert built_in is not None

    (tmp_path / "map.toml").write_text(built_in.read_text())
    fill(migrated_url, plain_orders())
    settings = make_settings(migrated_url, tmp_path, SEGMENT_MAP=str(tmp_path / "map.toml"))
    (tmp_path / "map.toml").write_text(built_in.read_text().replace("555 554", "554"))
    done = smartcrm(tmp_path, "up", SEGMENT_MAP=str(tmp_path / "map.toml"))
    assert done.returncode == 1 and "misses 555" in done.stderr
    failed = run_inline(settings, "rfm").run
    assert failed.status == "failed" and "misses 555" in (failed.error or "")


def test_an_unreachable_redis_is_reported_and_the_runs_stay_requested(tmp_path: Path, migrated_url: str) -> None:
    done = smartcrm(tmp_path, "recompute", DATABASE_URL=migrated_url, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1 and "REDIS_URL: Redis can't be reached" in done.stderr, done.stderr
    with psycopg.connect(migrated_url) as connection:
        assert connection.execute("SELECT count(*) FROM analytics_runs WHERE status = 'pending'").fetchone() == (2,)


def test_a_role_without_rights_is_reported_in_one_sentence(tmp_path: Path, migrated_url: str) -> None:
    with psycopg.connect(migrated_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
        done = smartcrm(tmp_path, "runs", DATABASE_URL=migrated_url.replace("postgres:@", "stranger:@"))
        admin.execute("DROP ROLE stranger")
    assert done.returncode == 1 and "permission denied" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_database_that_goes_away_ends_the_wait_with_one_sentence(
    tmp_path: Path, servers: dict[str, str], workers: Workers
) -> None:
    url, redis_url = workers.settings.database_url, workers.settings.redis_url
    with transaction(url) as session:
        (ahead,) = inbox.request(session, ["rfm"])
        runs.take(session, ahead.run_id, from_sweep=False)
    workers.start()
    command = [SMARTCRM, "recompute", "rfm", "--wait"]
    env = environment(tmp_path, DATABASE_URL=url, REDIS_URL=redis_url)
    waiting = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(read(url, "SELECT run_id FROM analytics_runs")) == 2)
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(servers["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    _, output = waiting.communicate(timeout=30)
    assert waiting.returncode == 1 and len(output.strip().splitlines()) == 1, output
    assert output.startswith("smartcrm: PostgreSQL failed: ") and "not currently accepting connections" in output


def test_forgetting_tells_what_it_did_and_whom_it_does_not_know(tmp_path: Path, migrated_url: str) -> None:
    publish(migrated_url, tmp_path)
    done = smartcrm(tmp_path, "forget", "c1", DATABASE_URL=migrated_url)
    assert done.returncode == 0 and re.match(r"(1 row|\d+ rows) removed\. ", done.stdout), done.stderr
    again = smartcrm(tmp_path, "forget", "c1", DATABASE_URL=migrated_url)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "smartcrm: No stored row has the customer 'c1'.\n"


def test_two_reasons_make_one_sentence(tmp_path: Path, migrated_url: str) -> None:
    settings = make_settings(migrated_url, tmp_path)
    with transaction(migrated_url) as session:
        requested = inbox.request(session, ["rfm", "menu"])
        for run in requested:
            runs.finish(session, run, "failed", error_code="internal_error", error=f"There is no {run.kind}.")
    with pytest.raises(SmartCRMError) as output:
        workers.wait_for(settings, [run.run_id for run in requested], lambda: None)
    assert str(output.value) == "The rfm run failed: There is no rfm; the menu run failed: There is no menu."


def test_a_known_segment_may_be_empty_and_an_unknown_one_is_reported(tmp_path: Path, migrated_url: str) -> None:
    publish(migrated_url, tmp_path)
    empty = smartcrm(tmp_path, "segments", "--segment", "Champions", DATABASE_URL=migrated_url)
    assert (empty.returncode, empty.stderr) == (0, "") and "c1" not in empty.stdout
    some = str(rfm_segments(migrated_url).segment[0])
    named = smartcrm(tmp_path, "segments", "--segment", some, DATABASE_URL=migrated_url)
    other = smartcrm(tmp_path, "segments", "--segment", some.lower(), DATABASE_URL=migrated_url)
    assert "c1" in named.stdout and other.stdout == named.stdout
    unknown = smartcrm(tmp_path, "segments", "--segment", "Champs", DATABASE_URL=migrated_url)
    assert unknown.returncode == 1 and "There is no segment 'Champs'; there are About To Sleep, " in unknown.stderr


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_an_export_that_can_not_be_written_is_reported_with_its_reason(
    tmp_path: Path, migrated_url: str, name: str
) -> None:
    publish(migrated_url, tmp_path)
    path = tmp_path / "missing" / name
    done = smartcrm(tmp_path, "segments", "--export", str(path), DATABASE_URL=migrated_url)
    assert done.returncode == 1 and f"{path} can't be written: " in done.stderr and "None" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def publish(url: str, home: Path) -> None:
    """Publish segments of six customers, none of them a champion."""
    fill(url, plain_orders())
    assert run_inline(make_settings(url, home), "rfm").run.status == "succeeded"


@pytest.mark.parametrize(
    "start",
    [
        ["-c", "from webhook.app import create_app; create_app()"],
        ["-m", "celery", "-A", "worker.app", "worker"],
        ["-m", "celery", "-A", "worker.app", "beat"],
    ],
)
def test_no_program_starts_with_a_wrong_segment_map(tmp_path: Path, migrated_url: str, start: list[str]) -> None:
    (tmp_path / "map.toml").write_text("[segments]")
    env = {"DATABASE_URL": migrated_url, "REDIS_URL": "redis://127.0.0.1:1/0", "SMARTCRM_HOME": str(tmp_path)}
    env |= {**os.environ, **env, "SEGMENT_MAP": str(tmp_path / "map.toml")}
    done = subprocess.run([sys.executable, *start], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "SEGMENT_MAP: " in done.stderr.strip().splitlines()[-1]


def test_tables_of_another_version_are_reported_with_the_fix(tmp_path: Path, database_url: str, redis_url: str) -> None:
    done = smartcrm(tmp_path, "recompute", DATABASE_URL=database_url, REDIS_URL=redis_url)
    assert done.returncode == 1 and "run smartcrm migrate" in done.stderr


def test_every_command_explains_itself() -> None:
    from cli import commands  # noqa: F401  # which adds them

    assert {"demo", "up", "migrate", "load", "recompute", "runs", "doctor"} <= set(cli.commands)
    for command in ([], *([name] for name in cli.commands)):
        shown = CliRunner().invoke(cli, [*command, "--help"])
        assert shown.exit_code == 0 and "Usage" in shown.output and len(shown.output.splitlines()) > 4, command
