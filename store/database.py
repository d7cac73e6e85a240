"""One engine per process and one session helper; every transaction on our database goes through here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

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


def engine(url: str) -> Engine:
    """This process's engine for a libpq URL; psycopg parses it, so every form that libpq knows is good."""
    return _engine(url, os.getpid())


@lru_cache(maxsize=8)
def _engine(url: str, _process: int) -> Engine:
    # Keyed by process: a forked child makes its own and leaves the connections it inherited to its parent.
    def connect() -> psycopg.Connection:
        connection = psycopg.connect(conninfo(url))
        connection.execute(f"{NOTICE_THE_DEAD}; {FLOATS_IN_FULL}")
        connection.commit()
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=12,
        pool_timeout=10,
        hide_parameters=True,  # they may be customers
    )


@contextmanager
def transaction(url: str) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back by an exception."""
    with Session(engine(url), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def snapshot(url: str) -> Iterator[Session]:
    """A session that only reads, and sees one state of everything from its first query on."""
    reading = engine(url).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with Session(reading, expire_on_commit=False) as session, session.begin():
        yield session


def driver(session: Session) -> psycopg.Connection[tuple[Any, ...]]:
    """The session's psycopg connection, in the session's transaction: for COPY and composed SQL."""
    return session.connection().connection.driver_connection  # type: ignore[return-value]


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
