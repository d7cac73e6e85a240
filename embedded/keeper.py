"""The keeper: a background process that starts, restarts and stops the embedded servers of a home.

Each command that uses the servers holds a shared lock on `users.lock`. When the last one ends or is killed, the keeper
gets the exclusive lock, stops the servers and exits. It holds `keeper.lock`, inherited from the command that started
it. A keeper that is killed leaves its servers running, and the next keeper finds them by their locks.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedded import locks
from embedded.postgres import Postgres
from embedded.redis import Redis
from embedded.restarts import Restarts
from embedded.server import Server, failed
from errors import EmbeddedError

POLL = 0.2  # seconds between checks of users and servers
TIMEOUT = 60  # seconds to wait for a server to answer or fail
KEEPERS = 3  # started by one command before it gives up

ERRORS = (EmbeddedError, OSError, subprocess.SubprocessError)

logger = logging.getLogger("keeper")


@contextmanager
def open_servers(home: Path, *, database: bool, redis: bool) -> Iterator[dict[str, str]]:
    """Start the requested servers of the home, and yield their DATABASE_URL and REDIS_URL when they answer.

    All commands of the home share the servers, which stop after the last one.

    Raises
    ------
    EmbeddedError
        When a server is not installed or does not start, with the log of the server or keeper and its last message.
    """
    wanted: dict[str, Server] = {}
    if database:
        wanted["DATABASE_URL"] = Postgres(home)
    if redis:
        wanted["REDIS_URL"] = Redis(home)
    if not wanted:
        yield {}
        return
    for server in wanted.values():
        server.program()  # raises when the wheels are not installed
    user = _enter(home)
    try:
        for server in wanted.values():
            _wait_for(server, home)
        yield {name: server.url() for name, server in wanted.items()}
    finally:
        # If the keeper was killed, a new one stops the servers.
        with suppress(EmbeddedError):
            _ensure_keeper(home)
        os.close(user)


def _enter(home: Path) -> int:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        return locks.share(home / "users.lock")
    except OSError as error:
        raise EmbeddedError(f"SMARTCRM_HOME can't be used: {error}") from error


def _wait_for(server: Server, home: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    keepers = int(_ensure_keeper(home))
    while not server.answers():
        if server.failure.exists() and (reason := server.failure.read_text()):
            raise EmbeddedError(reason)
        if time.monotonic() > deadline:
            raise server.failed(f"did not answer within {TIMEOUT} s")
        if keepers > KEEPERS:
            raise failed("The keeper of the embedded servers ended repeatedly", home / "logs" / "keeper.log")
        time.sleep(0.02)
        keepers += _ensure_keeper(home)


def _ensure_keeper(home: Path) -> bool:
    """Start a keeper if there is none; returns whether it was started."""
    try:
        lock = locks.take(home / "keeper.lock")
        if lock is None:
            return False
        try:
            for server in (Postgres(home), Redis(home)):
                server.failure.unlink(missing_ok=True)
            _spawn(home, lock)
        finally:
            os.close(lock)
    except OSError as error:
        raise EmbeddedError(f"SMARTCRM_HOME can't be used: {error}") from error
    return True


def _spawn(home: Path, lock: int) -> None:
    log = home / "logs" / "keeper.log"
    log.touch(mode=0o600)
    with log.open("ab") as output:
        run = subprocess.run(
            [sys.executable, "-m", "embedded.keeper", str(home.resolve())],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[lock],
            start_new_session=True,
        )
    if run.returncode:
        raise failed("The keeper of the embedded servers did not start", log)


class Keeper:
    """Keeps both servers of a home running while commands use them."""

    def __init__(self, home: Path) -> None:
        self.stopping = False
        self._users = home / "users.lock"
        self._servers: dict[Server, Restarts] = {Redis(home): Restarts(), Postgres(home): Restarts()}

    def run(self) -> None:
        """Return with the servers stopped: after the last user has ended, on SIGTERM, or when the home was removed."""
        with suppress(FileNotFoundError):
            # The lock is held to the end: a command that starts now waits for it, and starts the next keeper.
            while not self.stopping and self._users.exists() and locks.take(self._users) is None:
                for server, restarts in self._servers.items():
                    self._check(server, restarts)
                time.sleep(POLL)
        for server in self._servers:
            try:
                server.stop()
            except ERRORS as error:
                logger.error("%s did not stop: %s", server.name, error)
        logger.info("Stopped")

    def _check(self, server: Server, restarts: Restarts) -> None:
        if server.running():
            server.failure.unlink(missing_ok=True)
            return
        if (wait := restarts.ended()) is not None:
            logger.warning("%s has ended; it is restarted in %g s", server.name, wait)
        if restarts.due():
            restarts.started()
            try:
                server.start()
            except ERRORS as error:
                logger.error("%s", error)
                server.failure.write_text(str(error) if isinstance(error, EmbeddedError) else f"{server.name}: {error}")


def main() -> None:
    """Run the keeper of the home given as argument, as a daemon."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keeper = Keeper(Path(sys.argv[1]))

    def stop(*_: object) -> None:
        keeper.stopping = True

    signal.signal(signal.SIGTERM, stop)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, lambda *_: None)  # not SIG_IGN, which the servers would inherit
    if not os.fork():  # the parent's exit status tells the command that the keeper has started
        keeper.run()


if __name__ == "__main__":
    main()
