"""One engine per process and one session helper; every transaction on our database goes through here."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Connection as Begun
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from errors import UnavailableError
from postgres import Connection, connect

# A server that restarts, a deadlock, a full disk: nothing was done, and the same call may succeed in a while.
TRANSIENT = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)

ASK_AGAIN = 1.0  # seconds after which a session whose server only read is replaced
UNAVAILABLE = "database_unavailable"
# Class 25 is InternalError to psycopg, but these are the server's doing.
SESSION_ENDED = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


class ReadOnlyError(UnavailableError):
    """The server is a standby, or set to read only: writes have to wait."""

    code = UNAVAILABLE


class StalePlanError(UnavailableError):
    """A prepared statement's result has another form since a migration; a new session knows the new one."""

    code = UNAVAILABLE


def engine(url: str) -> Engine:
    """This process's engine for a libpq URL; psycopg parses it, so every form that libpq knows is good."""
    return _engine(url, os.getpid())


@lru_cache(maxsize=8)
def _engine(url: str, _process: int) -> Engine:
    # Keyed by process: a forked child makes its own and leaves the connections it inherited to its parent.
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url, ours=True),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=12,
        pool_timeout=10,
        hide_parameters=True,  # they may be customers
    )

    @event.listens_for(made, "connect")
    def note_when(_: Connection, entry: ConnectionPoolEntry) -> None:
        entry.info["made"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def replace_if_it_only_reads(connection: Connection, entry: ConnectionPoolEntry, _: object) -> None:
        # After a switch to a standby the URL leads elsewhere; where it doesn't yet, reads are answered all the same.
        if connection.only_reads() and time.monotonic() - entry.info["made"] > ASK_AGAIN:
            raise DisconnectionError

    @event.listens_for(made, "begin")
    def begin(begun: Begun) -> None:
        connection = begun.connection.driver_connection
        assert isinstance(connection, Connection)
        connection.begin(**begun.get_execution_options().get("begin", {}))

    return made


@contextmanager
def transaction(url: str) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back by an exception.

    Raises
    ------
    UnavailableError
        Where the same call may succeed on a new session: the server only reads now, or a table has changed.
    """
    with _session(url) as session:
        yield session


@contextmanager
def snapshot(url: str) -> Iterator[Session]:
    """A session that only reads, and sees one state of everything from its first query on."""
    with _session(url, isolation="REPEATABLE READ", read_only=True) as session:
        yield session


@contextmanager
def reader(url: str) -> Iterator[Session]:
    """A session for several transactions, each ended by its user with `rollback`."""
    with _told(url), Session(engine(url)) as session:
        yield session


@contextmanager
def _session(url: str, **begin: Any) -> Iterator[Session]:
    bound = engine(url).execution_options(begin=begin)
    with _told(url), Session(bound, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _told(url: str) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        passing = _passing(cause) if isinstance(cause, psycopg.Error) else None
        if passing is None:
            raise
        engine(url).dispose()  # all pooled sessions are alike
        raise passing from error


def _passing(error: psycopg.Error) -> UnavailableError | None:
    """What a fault of the session, not of the call, is called; None for others."""
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return ReadOnlyError(f"PostgreSQL takes no writes at present: {error.diag.message_primary}.")
    if isinstance(error, psycopg.errors.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery":
        return StalePlanError("A table or view has changed; ask again.")
    if isinstance(error, SESSION_ENDED):
        return UnavailableError(f"PostgreSQL ended the session: {error.diag.message_primary}.", code=UNAVAILABLE)
    return None


def driver(session: Session) -> Connection:
    """The session's psycopg connection, in the session's transaction: for COPY and composed SQL."""
    return session.connection().connection.driver_connection  # type: ignore[return-value]
