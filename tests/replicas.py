"""PostgreSQL servers on TCP that a test starts, stops, copies and promotes; and a relay that can be redirected."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from embedded.account import account_for
from embedded.ports import choose_port
from embedded.postgres import _package
from tests.system import wait_for

DATABASE = "postgres"


@contextmanager
def server_folder() -> Iterator[Path]:
    """A folder owned by the user that PostgreSQL runs as, removed at the end."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "servers"
        account_for(folder).own(folder)
        account_for(folder).reach(folder)
        yield folder


class Replica:
    """One server; its programs run as a user that PostgreSQL accepts."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data = folder / name
        self.port = choose_port(name, 0)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"
        self.account = account_for(folder)
        self.folder = folder

    def make(self) -> None:
        """Create a new cluster."""
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")

    def copy(self, primary: Replica) -> None:
        """Create a standby of a running primary."""
        self._run("pg_basebackup", "-D", self.data, "-d", primary.url, "-R", "-X", "stream")

    def follow(self, primary: Replica) -> None:
        """Make it a standby of another server from its next start on."""
        with (self.data / "postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = '{primary.url}'\nrecovery_target_timeline = 'latest'\n")
        (self.data / "standby.signal").touch()

    def start(self, **settings: str) -> None:
        """Start it, with settings."""
        given = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""} | settings
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in given.items())
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.folder / f"{self.data.name}.log", "-o", options)

    def stop(self, mode: str) -> None:
        """Stop it: `fast`, or `immediate`, which is a crash."""
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def promote(self) -> None:
        """Make a standby the primary."""
        self._run("pg_ctl", "promote", "-w", "-D", self.data)

    def in_step(self) -> None:
        """Wait until a standby has replayed everything of this primary."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
            wait_for(lambda: connection.execute(query).fetchone() == (1,))

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(_package() / "pginstall18" / "bin" / program), *map(str, arguments)]
        with (self.folder / "programs.log").open("ab") as log:
            subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log, timeout=120, **self.account.drop)


class Relay:
    """A TCP relay whose target port can be changed; existing connections keep theirs."""

    def __init__(self, port: int) -> None:
        self.target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.target), timeout=3)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_relay, args=(one, other), daemon=True).start()


def _relay(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while block := one.recv(65_536):
            other.sendall(block)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
