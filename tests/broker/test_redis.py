"""Redis in various set-ups: one database, ACLs, full, read-only, TLS, clusters, Sentinel; long, since each set-up has
its own server.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from broker.address import PREFIX, parse
from cli.doctor import examine
from embedded.ports import choose_port
from kinds import KINDS
from store import inbox
from store.database import transaction
from tests.builders import plain_orders
from tests.certificates import Certificates
from tests.installed import program
from tests.redis_servers import ask, server
from tests.system import Workers, fill, make_settings, read, wait_for
from webhook.app import create_app

# Redis users as in managed services: all commands except those on other databases or the server.
MANAGED = "user default on >secret ~* &* +@all -select -swapdb -flushall -flushdb -config -debug -shutdown -keys"


@contextmanager
def serving(migrated_url: str, tmp_path: Path, url: str, **env: str) -> Iterator[Any]:
    """A webhook's test client."""
    settings = make_settings(migrated_url, tmp_path, url, API_TOKENS="a-token-of-ours", **env)
    yield create_app(settings).test_client()


WAITING = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def readiness(migrated_url: str, tmp_path: Path, url: str, **env: str) -> str:
    with serving(migrated_url, tmp_path, url, **env) as client:
        return str(client.get("/readyz").get_json()["redis"])


def examined(migrated_url: str, tmp_path: Path, url: str, **env: str) -> list[tuple[str, str]]:
    found = examine(make_settings(migrated_url, tmp_path, url, **env), env)
    return [(finding.level, f"{finding.found} {finding.remedy}") for finding in found if finding.subject == "Redis"]


def runs_succeed(migrated_url: str, tmp_path: Path, url: str, **env: str) -> None:
    fill(migrated_url, plain_orders())
    with Workers(migrated_url, url, tmp_path) as workers:
        workers.start(**env)
        states = workers.finished(workers.request("rfm", "menu"))
        assert [state.run.status for state in states] == ["succeeded", "succeeded"]
        assert workers.processes_that_did("smartcrm.advance")


def test_one_database_serves_broker_and_results_beside_other_programs(migrated_url: str, tmp_path: Path) -> None:
    program("redis-server")
    with server(tmp_path, "databases 1", MANAGED) as port:
        url = f"redis://:secret@127.0.0.1:{port}/0"
        with pytest.raises(redis.ResponseError, match=r"permissions|SELECT|select"):
            ask(port, "SELECT", "0", password="secret")
        ask(port, "LPUSH", "control", "another program's own", password="secret")
        runs_succeed(migrated_url, tmp_path, url, RFM_SHARDS="4")
        keys = {str(key) for key in redis.Redis(port=port, password="secret", decode_responses=True).scan_iter("*")}
        assert {key for key in keys if not key.startswith(PREFIX)} == {"control"}
        assert any("celery-task-meta" in key or "chord" in key or "taskset" in key for key in keys) or len(keys) > 1
        assert readiness(migrated_url, tmp_path, url) == "ok"
        levels = [level for level, _ in examined(migrated_url, tmp_path, url)]
        assert "fault" not in levels and "warning" in levels  # CONFIG is not ours to read there


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["maxmemory 2mb", "maxmemory-policy noeviction"], "used memory"),
        (["replicaof 127.0.0.1 1", "replica-read-only yes"], "read only"),
        (["user default on nopass ~* &* +@all -set"], "permissions"),
        (["user default on nopass ~other:* &* +@all"], "permissions"),
    ],
    ids=["full", "replica", "command refused", "keys refused"],
)
def test_a_server_that_refuses_writes_is_reported(
    migrated_url: str, tmp_path: Path, lines: list[str], word: str
) -> None:
    with server(tmp_path, *lines) as port:
        url = f"redis://127.0.0.1:{port}/0"
        if word == "used memory":
            for size in (100_000, 1_000, 1):
                with pytest.raises(redis.ResponseError, match="used memory"):
                    for number in range(10_000):
                        ask(port, "SET", f"ballast-{size}-{number}", "x" * size)
        assert readiness(migrated_url, tmp_path, url) == "refuses_writes"
        faults = [said for level, said in examined(migrated_url, tmp_path, url) if level == "fault"]
        assert len(faults) == 1 and "refuses writes" in faults[0] and word in faults[0]


def test_tls_is_verified_with_a_ca_of_ones_own(migrated_url: str, tmp_path: Path) -> None:
    ours, strangers = Certificates(tmp_path / "ours"), Certificates(tmp_path / "strangers")
    with server(tmp_path, "tls-port {port}", "port 0", *ours.redis_lines(), "requirepass secret") as port:
        url, ca = f"rediss://:secret@localhost:{port}/0", str(ours.ca)
        assert readiness(migrated_url, tmp_path, url, REDIS_CA_FILE=ca) == "ok"
        assert readiness(migrated_url, tmp_path, url) == "down"  # the system knows no such CA
        assert readiness(migrated_url, tmp_path, url, REDIS_CA_FILE=str(strangers.ca)) == "down"
        elsewhere = url.replace("localhost", "127.0.0.2")  # not in the certificate
        assert readiness(migrated_url, tmp_path, elsewhere, REDIS_CA_FILE=ca) == "down"
        assert readiness(migrated_url, tmp_path, f"{url}?ssl_cert_reqs=none") == "ok"
        assert readiness(migrated_url, tmp_path, f"{url}?ssl_ca_certs={ca}") == "ok"
        faults = [said for level, said in examined(migrated_url, tmp_path, url) if level == "fault"]
        assert faults and "REDIS_CA_FILE" in faults[0]
        runs_succeed(migrated_url, tmp_path, url, REDIS_CA_FILE=ca)


BROKEN = [
    "rediss://:pw@127.0.0.1:{port}/0",  # no TLS there
    "redis://:wrong@127.0.0.1:{port}/0",
    "redis://nobody:pw@127.0.0.1:{port}/0",
    "redis://:pw@127.0.0.1:{port}/9",  # no such database
    "redis://:pw@no-such-host.invalid:6379/0",
    "redis://:pw@127.0.0.1:1/0",
    "sentinel://:pw@127.0.0.1:{port}/mymaster",  # no sentinel
]


def test_a_broker_that_can_not_be_used_never_loses_a_request(migrated_url: str, tmp_path: Path) -> None:
    script = """
import os, sys
import webhook.app
for url in sys.argv[1:]:
    if not os.fork():  # Celery's configuration reads the environment once
        os.environ["REDIS_URL"] = url
        client = webhook.app.create_app().test_client()
        answer = client.post("/runs", json={}, headers={"Authorization": "Bearer a-token-of-ours"})
        print(answer.status_code, len(answer.get_json()["runs"]), url, flush=True)
        os._exit(0)
    os.wait()
"""
    with server(tmp_path, "databases 1", "requirepass pw") as port:
        urls = [url.format(port=port) for url in BROKEN]
        env = {"DATABASE_URL": migrated_url, "API_TOKENS": "a-token-of-ours", "SMARTCRM_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-c", script, *urls],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )
        answered = [line for line in done.stdout.splitlines() if line.startswith("202 ")]
        runs = sum(kind.by_default for kind in KINDS.values())
        assert answered == [f"202 {runs} {url}" for url in urls], done.stdout + done.stderr[-2000:]
        for url in urls:
            assert readiness(migrated_url, tmp_path, url) in ("down", "refuses_writes"), url


def test_a_cluster_is_refused_by_name(migrated_url: str, tmp_path: Path) -> None:
    with server(tmp_path, "cluster-enabled yes") as port:  # it holds no slot, as a node of several does not hold ours
        url = f"redis://127.0.0.1:{port}/0"
        env = {"DATABASE_URL": migrated_url, "REDIS_URL": url, "SMARTCRM_HOME": str(tmp_path / "home")}
        for program_name in ("worker", "beat"):
            command = [sys.executable, "-m", "celery", "-A", "worker.app", program_name]
            done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
            assert done.returncode == 1 and "Redis Cluster" in done.stderr.strip().splitlines()[-1], done.stderr
        assert readiness(migrated_url, tmp_path, url) == "cluster"
        assert any(
            level == "fault" and "Redis Cluster" in said for level, said in examined(migrated_url, tmp_path, url)
        )


def test_a_clustered_server_that_holds_every_key_serves(migrated_url: str, tmp_path: Path) -> None:
    with server(tmp_path, "cluster-enabled yes", "cluster-announce-ip 127.0.0.1") as port:
        ask(port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_for(
            lambda: "cluster_state:ok" in str(ask(port, "CLUSTER", "INFO")) or "ok" in str(ask(port, "CLUSTER", "INFO"))
        )
        with pytest.raises(redis.ResponseError, match="SELECT is not allowed"):
            ask(port, "SELECT", "1")
        url = f"redis://127.0.0.1:{port}/0"
        wait_for(lambda: readiness(migrated_url, tmp_path, url) == "ok")
        runs_succeed(migrated_url, tmp_path, url, RFM_SHARDS="4")


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis://:pa[ss@redis:6379/0", "percent-encode"),
        ("redis://:pa]ss@redis:6379/0", "percent-encode"),
        ("redis://:pa/ss@redis:6379/0", "percent-encode"),
        ("redis://:pa#ss@redis:6379/0", "percent-encode"),
        ("redis://:pa?ss@redis:6379/0", "percent-encode"),
        ("redis://redis:0/0", "port"),
        ("redis://redis:66666", "port"),
        ("redis://", "host"),
        ("redis://a:6379,b:6379/0", "Cluster"),
        ("sentinel://a:26379", "master"),
        ("redis://redis/0?ssl_cert_reqs=none", "rediss://"),
        ("rediss://redis/0?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
        ("rediss://redis/0?colour=red", "colour"),
        ("unix:///run/redis.sock", "redis://"),
    ],
)
def test_a_url_that_can_not_work_is_reported_without_its_password(url: str, error: str) -> None:
    with pytest.raises(ValueError, match=error) as refused:
        parse(url)
    assert "pa" not in str(refused.value).replace("password", "").replace("passed", "").split(";")[0].split()


@pytest.mark.parametrize(
    ("url", "host", "password", "celery_url"),
    [
        ("redis://redis", ("redis", 6379), None, "redis://redis:6379/0"),
        ("redis://:p%40ss@redis:1/3", ("redis", 1), "p@ss", "redis://:p%40ss@redis:1/3"),
        ("redis://:p@ss%5B@redis/", ("redis", 6379), "p@ss[", "redis://:p%40ss%5B@redis:6379/0"),
        ("redis://me:50%off@[::1]:7/0", ("::1", 7), "50%off", "redis://me:50%25off@[::1]:7/0"),
        ("rediss://u:p@h?ssl_cert_reqs=CERT_NONE", ("h", 6379), "p", "rediss://u:p@h:6379/0"),
        ("sentinel://:p@a,b:1/m", ("a", 26379), "p", "sentinel://:p@a:26379/0;sentinel://:p@b:1/0"),
    ],
)
def test_one_form_serves_celery_and_redis_py(
    url: str, host: tuple[str, int], password: str | None, celery_url: str
) -> None:
    found = parse(url)
    assert (found.hosts[0], found.password, found.celery_url) == (host, password, celery_url)


def _watched(watchers: list[int]) -> bool:
    """Whether every sentinel has found the two others and the replica."""
    known: list[Any] = [ask(port, "SENTINEL", "MASTER", "mymaster") for port in watchers]
    counts = [each if isinstance(each, dict) else dict(zip(each[::2], each[1::2], strict=True)) for each in known]
    return all((each["num-other-sentinels"], each["num-slaves"]) == ("2", "1") for each in counts)


@pytest.mark.long
def test_a_sentinel_failover_loses_no_run(migrated_url: str, tmp_path: Path) -> None:
    """The master dies while runs are requested; the replica is promoted, and all runs end."""
    program("redis-sentinel")
    fill(migrated_url, plain_orders())
    watchers = [choose_port("Sentinel", 0) for _ in range(3)]
    with server(tmp_path, "requirepass pw", "masterauth pw") as first:
        settings = ["requirepass pw", "masterauth pw", f"replicaof 127.0.0.1 {first}"]
        with server(tmp_path, *settings) as second:
            watched = [
                f"sentinel monitor mymaster 127.0.0.1 {first} 2",
                "sentinel auth-pass mymaster pw",
                "sentinel down-after-milliseconds mymaster 1000",
                "sentinel failover-timeout mymaster 5000",
            ]
            with (
                server(tmp_path, *watched, port=watchers[0], sentinel=True),
                server(tmp_path, *watched, port=watchers[1], sentinel=True),
                server(tmp_path, *watched, port=watchers[2], sentinel=True),
            ):
                hosts = ",".join(f"127.0.0.1:{port}" for port in watchers)
                url = f"sentinel://:pw@{hosts}/mymaster"
                wait_for(lambda: _watched(watchers), 60)
                with Workers(migrated_url, url, tmp_path) as workers:
                    workers.start(processes=2, beat=True)
                    assert readiness(migrated_url, tmp_path, url) == "ok"
                    assert workers.finished(workers.request("menu"))[0].run.status == "succeeded"
                    info: Any = ask(first, "INFO", "server", password="pw")
                    with psycopg.connect(migrated_url) as orders:  # a task that reads them has a message meanwhile
                        orders.execute("LOCK TABLE fact_transactions IN ACCESS EXCLUSIVE MODE")
                        with transaction(migrated_url) as session:
                            requested = [run.run_id for run in inbox.request(session, ["rfm", "menu"])]
                        wait_for(lambda: len(read(migrated_url, WAITING)))
                        os.kill(info["process_id"], signal.SIGKILL)
                        wait_for(lambda: "Connection to broker lost" in (tmp_path / "w0@test.log").read_text())
                    states = workers.finished(requested, 120)
                    assert [state.run.status for state in states] == ["succeeded", "succeeded"]
                    wait_for(lambda: readiness(migrated_url, tmp_path, url) == "ok", 60)
                    assert str(ask(second, "ROLE", password="pw")).startswith("['master'")
                    assert workers.finished(workers.request("menu"))[0].run.status == "succeeded"
