"""PostgreSQL connections, for our own tables and the CRM's alike: what every session sets, and which errors pass."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.exc import InterfaceError, OperationalError

from errors import UnavailableError

# A server that restarts, a deadlock, a full disk: nothing was done, and the same call may succeed in a while.
TRANSIENT = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)

# A worker that is killed, or whose host is gone, must not keep its locks: the server looks after its client even
# in the middle of a long statement, and gives up a silent host within a minute instead of after two hours.
NOTICE_THE_DEAD = (
    "SET client_connection_check_interval = '2s'; SET tcp_keepalives_idle = 30;"
    " SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
)

# What a float is as text, and so what it is in money, must not hang on a setting of the CRM's, whose tables may be
# in our own database too.
FLOATS_IN_FULL = "SET extra_float_digits = 1"


def conninfo(url: str) -> str:
    """A libpq URL as our programs use it: of a database whose host has gone they hear within a minute, too."""
    keepalives = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
    return make_conninfo(url, connect_timeout=5, application_name="smartcrm", **keepalives)


def scalar(connection: psycopg.Connection[Any], query: sql.Composable | str, *parameters: object) -> Any:
    """The first column of the first row, or None."""
    row = connection.execute(query, parameters or None).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


def check(url: str, name: str) -> None:
    """Connect once.

    Raises
    ------
    UnavailableError
        With the setting's name and the server's reason, and never the URL, which may hold a password.
    """
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as fault:
        reason = str(fault).strip().splitlines()[-1].strip()
        raise UnavailableError(f"{name}: PostgreSQL can't be reached: {reason}.") from None


def tune(connection: psycopg.Connection[Any]) -> None:
    """Session settings for one bulk statement; they end with the transaction.

    Parallelism is ours (one task per part), compiling costs more than it gives, and a part's groups fit.
    """
    connection.execute(
        "SET LOCAL work_mem = '256MB'; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
    )
