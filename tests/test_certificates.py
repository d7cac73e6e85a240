"""A private certificate authority for PostgreSQL, Redis, Flower and receivers of events: `SSL_CERT_FILE`."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import plain_orders
from tests.certificates import Certificates
from tests.pooler import pgbouncer
from tests.redis_servers import server
from tests.store.test_events import KEY, Receiver
from tests.system import fill, rfm_segments, wait_for
from tests.test_compose import PATIENCE, REQUIRED, Service

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Peers:
    """Servers and a receiver with certificates of the same authority."""

    ca: Path
    plain_url: str  # as a test looks into the database
    database_url: str
    redis_url: str
    receiver: Receiver

    def service(self, name: str, folder: Path, ca: Path) -> Service:
        folder.mkdir(exist_ok=True)
        service = Service(name, folder, self.database_url, self.redis_url)
        service.env |= {"SSL_CERT_FILE": str(ca), "EVENT_URLS": self.receiver.url, "EVENT_SECRETS": KEY}
        return service


@pytest.fixture
def peers(database_url: str, tmp_path: Path) -> Iterator[Peers]:
    """The wheel's PostgreSQL has no TLS, so PgBouncer ends it, and takes no connection without."""
    ours = Certificates(tmp_path / "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.certificate, ours.key)
    receiver = Receiver()
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    receiver.url = receiver.url.replace("http://127.0.0.1", "https://localhost")
    lines = ["tls-port {port}", "port 0", *ours.redis_lines(), "requirepass secret"]
    with (
        receiver,
        server(tmp_path, *lines) as port,
        pgbouncer(database_url, folder=tmp_path / "ours", settings=ours.pgbouncer_lines()) as (pooled,),
    ):
        verified = f"{pooled.replace('127.0.0.1', 'localhost')}?sslmode=verify-full&sslrootcert=system"
        yield Peers(ours.ca, database_url, verified, f"rediss://:secret@localhost:{port}/0", receiver)


def test_one_file_makes_every_connection_trusted(peers: Peers, tmp_path: Path) -> None:
    assert peers.service("migrate", tmp_path / "services", peers.ca).run() == 0
    fill(peers.plain_url, plain_orders())
    with ExitStack() as running:
        started = {
            name: running.enter_context(peers.service(name, tmp_path / "services", peers.ca))
            for name in ("webhook", "worker", "beat", "flower")
        }
        for service in started.values():
            assert service.becomes_healthy()
        ready = urllib.request.urlopen(f"http://127.0.0.1:{started['webhook'].port}/readyz")
        assert ready.status == 200 and b'"ok"' in ready.read()
        command = [Path(sys.executable).with_name("smartcrm"), "recompute", "rfm", "--wait"]
        done = subprocess.run(command, env=started["worker"].env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert len(rfm_segments(peers.plain_url)) == 6
        wait_for(lambda: peers.receiver.received, PATIENCE)

        assert "compute" in broker_page(started["flower"])


def broker_page(flower: Service) -> str:
    """Flower's page of queues; without a connection it lists none."""
    login = b64encode(f"smartcrm:{REQUIRED['FLOWER_PASSWORD']}".encode()).decode()
    page = urllib.request.Request(f"http://127.0.0.1:{flower.port}/broker", headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(page) as answer:
        return str(answer.read().decode())


def test_another_authority_is_not_trusted(peers: Peers, tmp_path: Path) -> None:
    strangers = Certificates(tmp_path / "strangers").ca
    refused = peers.service("migrate", tmp_path / "first", strangers)
    assert refused.run() == 1 and "certificate verify failed" in refused.log.read_text()

    assert peers.service("migrate", tmp_path / "second", peers.ca).run() == 0
    with peers.service("webhook", tmp_path / "third", strangers) as webhook:
        assert webhook.becomes_healthy()
        with pytest.raises(urllib.error.HTTPError) as unready:
            urllib.request.urlopen(f"http://127.0.0.1:{webhook.port}/readyz")
        reported = unready.value.read().decode()
        assert unready.value.code == 503 and reported.count('"down"') == 3, reported  # database, source and redis
    with peers.service("flower", tmp_path / "fourth", strangers) as flower:
        assert flower.becomes_healthy() and "compute" not in broker_page(flower)

    program = (
        "import asyncio, sys, uuid; from store.events import Message; from worker.posting import post\n"
        f"print(asyncio.run(post(Message(uuid.uuid4(), {peers.receiver.url!r}, '{{}}'), [{KEY!r}], 5))[0])"
    )
    for ca, status in ((peers.ca, "204"), (strangers, "None")):
        env = peers.service("worker", tmp_path / status, ca).env
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1:] == [status], done.stderr
