"""A standby that is promoted, and a database that is read-only for a while: no accepted request is lost; long, since
the standby is set up once for all cases.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import requests

from cli.doctor import examine
from postgres import connect
from settings import Settings
from signatures import signed_headers
from store import inbox
from store.database import engine, transaction
from store.schema import migrate
from tests import oracle
from tests.builders import plain_orders
from tests.oracle import Rules
from tests.replicas import Relay, Replica, server_folder
from tests.system import Webhook, Workers, fill, make_settings, menu_recommendation, read, rfm_segments, state, wait_for
from webhook.app import create_app


@pytest.fixture
def replicas() -> Iterator[tuple[Replica, Replica]]:
    """A primary whose commits wait for its standby."""
    with server_folder() as folder:
        primary, standby = Replica(folder, "first"), Replica(folder, "second")
        try:
            primary.make()
            primary.start(synchronous_standby_names="*", wal_log_hints="on")
            standby.copy(primary)
            standby.start()
            primary.in_step()
            yield primary, standby
        finally:
            for each in (standby, primary):
                each.stop("immediate")


class Load:
    """Imports, each of one order, sent by threads until they are accepted."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings, self.url = settings, url
        self.answers: Counter[int] = Counter()
        self.accepted: list[tuple[float, str]] = []
        self._ids = iter(range(10_000, 1_000_000))
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def back_after(self, moment: float) -> float:
        """Seconds from a moment to the first import that was sent and accepted after it."""
        return float(wait_for(lambda: next((at for at, _ in self.accepted if at > moment), None), 60)) - moment

    def _send(self) -> None:
        while not self._over.is_set():
            with self._lock:
                order = next(self._ids)
            with psycopg.connect(self.settings.source_database_url) as crm:
                values = (order, f"c{order % 97}", order % 31 + 0.5, datetime.now(UTC))
                crm.execute("INSERT INTO fact_transactions VALUES (%s, %s, %s, %s)", values)
                crm.execute("INSERT INTO fact_transaction_items VALUES (%s, %s, %s, 1, 2.5)", (order, order, order % 7))
            name, body = f"import_{uuid4().hex}", '{"type": "import.completed"}'
            while True:
                sent = time.monotonic()
                headers = signed_headers(self.settings.webhook_secrets[:1], name, datetime.now(UTC), body)
                headers |= {"Content-Type": "application/json"}
                answer = requests.post(f"{self.url}/webhooks/imports", body, headers=headers, timeout=30)
                with self._lock:
                    self.answers[answer.status_code] += 1
                    if answer.status_code == 202:
                        self.accepted.append((sent, name))
                if answer.status_code == 202 or self._over.is_set():
                    break
                time.sleep(0.05)


@pytest.mark.long
@pytest.mark.parametrize("how", ["a crash, with both hosts in the URL", "a switch behind one address"])
def test_a_standby_that_is_promoted_under_load_goes_on_with_everything_that_was_accepted(
    replicas: tuple[Replica, Replica], database_url: str, redis_url: str, tmp_path: Path, how: str
) -> None:
    first, second = replicas
    relay = Relay(first.port)
    crash = how.startswith("a crash")
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{second.port}" if crash else f"127.0.0.1:{relay.port}"
    url = f"postgresql://postgres@{hosts}/postgres" + ("?target_session_attrs=read-write" if crash else "")
    fill(database_url, plain_orders(200))
    with psycopg.connect(database_url) as crm:
        crm.execute("CREATE UNIQUE INDEX ON fact_transactions (transaction_id)")
    migrate(url)
    with Workers(url, redis_url, tmp_path) as workers:
        workers.env |= {"SOURCE_DATABASE_URL": database_url, "RFM_SHARDS": "3"}
        workers.start(processes=2, beat=True)
        settings = workers.settings
        assert [each.run.status for each in workers.finished(workers.request("rfm", "menu"))] == ["succeeded"] * 2
        server = Webhook(workers.env, tmp_path / "webhook.log")
        server.start()
        load = Load(settings, server.url)
        try:
            wait_for(lambda: len(load.accepted) > 40, 120)
            first.stop("immediate" if crash else "fast")
            second.promote()
            promoted = time.monotonic()
            if not crash:
                # The address leads to the old server for a while, which is a standby now.
                first.follow(second)
                first.start()
                wait_for(lambda: _ready(server) == (503, "read_only"))
                reported = [finding.found for finding in examine(settings, {}) if finding.level == "fault"]
                assert "it is read-only now" in reported
                wait_for(lambda: load.answers[503] > 20)
                relay.target, promoted = second.port, time.monotonic()
            back = load.back_after(promoted)
            print(f"{how}: imports were accepted {back:.1f} s after the promotion; {dict(load.answers)}")
            assert _ready(server) == (200, "ok")
            many = len(load.accepted) + 40
            wait_for(lambda: len(load.accepted) > many, 120)
        finally:
            load.end()
            server.kill()
        assert set(load.answers) <= {202, 503}
        stored = set(read(second.url, "SELECT delivery_id FROM analytics_deliveries").delivery_id)
        assert {name for _, name in load.accepted} <= stored
        # A session of this process that is younger than REPLACE_AFTER may still be with the standby.
        requested = wait_for(lambda: _asked(settings))
        ended = workers.finished(requested, 120)
        assert [each.error for each in ended] == [None, None]
        wait_for(lambda: not _unfinished(second.url), 120)
        failed = read(second.url, "SELECT error FROM analytics_runs WHERE status NOT IN ('succeeded', 'cancelled')")
        assert failed.error.tolist() == []
        for each, rows in (("rfm", rfm_segments(second.url)), ("menu", menu_recommendation(second.url))):
            as_of = read(second.url, f"SELECT as_of FROM analytics_published WHERE kind = '{each}'").as_of[0]
            rules = Rules(as_of=as_of, timezone="Europe/London")
            sold = read(database_url, "SELECT * FROM fact_transactions")
            lines = read(database_url, "SELECT * FROM fact_transaction_items")
            if each == "rfm":
                oracle.compare_rfm(rows, oracle.rfm(sold, rules))
            else:
                oracle.compare_menu(rows, oracle.menu(sold, lines, rules))
        assert back < 10
    relay.close()


def _ready(server: Webhook) -> tuple[int, str]:
    answer = requests.get(f"{server.url}/readyz", timeout=30)
    return answer.status_code, answer.json()["database"]


def _unfinished(url: str) -> bool:
    return bool(len(read(url, "SELECT FROM analytics_runs WHERE status IN ('pending', 'running')")))


@pytest.mark.long
def test_a_database_that_only_reads_now_and_then_fails_no_run(
    migrated_url: str, redis_url: str, tmp_path: Path
) -> None:
    fill(migrated_url, plain_orders(300))
    over = threading.Event()
    name = migrated_url.split("/")[3].split("?")[0]

    def flap() -> None:
        with psycopg.connect(migrated_url.replace(f"/{name}?", "/postgres?"), autocommit=True) as admin:
            while not over.is_set():
                for value, wait in (("on", 0.15), ("off", 0.6)):
                    admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
                    admin.execute("SELECT pg_reload_conf()")
                    time.sleep(wait)
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")

    with Workers(migrated_url, redis_url, tmp_path) as workers:
        workers.start(processes=2, beat=True, RFM_SHARDS="3")
        flapping = threading.Thread(target=flap)
        flapping.start()
        try:
            requested = []
            for _ in range(5):
                requested += wait_for(lambda: _asked(workers.settings))
                workers.finished(requested[-2:], 180)
            log = "".join(path.read_text() for path in tmp_path.glob("w*@test.log"))
            assert "takes no writes at present" in log or "ReadOnlyError" in log
        finally:
            over.set()
            flapping.join()
        assert {state(workers.settings, run_id).run.status for run_id in requested} == {"succeeded"}


def _asked(settings: Settings) -> list[object] | None:
    try:
        with transaction(settings.database_url) as session:
            return [run.run_id for run in inbox.request(session, ["rfm", "menu"])]
    except Exception as error:
        if "takes no writes" not in str(error):
            raise
        return None


def test_a_session_whose_server_only_read_is_replaced_before_it_is_used(
    migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DATABASE_URL": migrated_url, "REDIS_URL": redis_url, "SMARTCRM_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)  # for the message to the workers
    settings = make_settings(migrated_url, tmp_path, redis_url)
    client = create_app(settings).test_client()
    name = migrated_url.split("/")[3].split("?")[0]
    with psycopg.connect(migrated_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        engine(migrated_url).dispose()
        assert client.get("/readyz").get_json()["database"] == "read_only"
        body = '{"type": "import.completed"}'
        headers = signed_headers(settings.webhook_secrets[:1], "import_1", datetime.now(UTC), body)
        headers |= {"Content-Type": "application/json"}
        refused = client.post("/webhooks/imports", data=body, headers=headers)
        assert (refused.status_code, refused.get_json()["error_code"]) == (503, "database_unavailable")
        assert "Retry-After" in refused.headers and "no writes" in refused.get_json()["detail"]
        token = {"Authorization": f"Bearer {settings.api_tokens[0]}"}
        assert client.get("/runs", headers=token).status_code == 200  # what only reads goes on
        # Sessions of before keep what their database was set to; new ones are as it is now.
        admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only".encode())
        time.sleep(1.1)
        taken = client.post("/webhooks/imports", data=body, headers=headers)
        assert taken.status_code == 202, taken.get_json()
        assert client.get("/readyz").get_json()["database"] == "ok"


def test_of_several_hosts_the_one_that_takes_writes_is_used(migrated_url: str) -> None:
    socket = connect(migrated_url).info.host
    both = f"postgresql://postgres@/{migrated_url.split('/')[3].split('?')[0]}?host=/nowhere,{socket}&port=5432,5432"
    with connect(both + "&target_session_attrs=read-write", ours=True) as connection:
        assert connection.execute("SELECT count(*) FROM analytics_runs").fetchone() == (0,)
