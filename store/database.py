"""The engine of our database, one per process, and its sessions; every transaction on our tables begins here."""

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

# A restart of the server, a deadlock, a full disk: the transaction was rolled back and may succeed when repeated.
TRANSIENT = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)

REPLACE_AFTER = 1.0  # seconds after which a connection to a read-only server is replaced
UNAVAILABLE = "database_unavailable"
# psycopg maps SQLSTATE class 25 to InternalError, but here the server ended the session.
SESSION_ENDED = (psycopg.errors.IdleInTransactionSessionTimeout, psycopg.errors.TransactionTimeout)


class ReadOnlyError(UnavailableError):
    """The server is a standby, or read-only; writes are refused for now."""

    code = UNAVAILABLE


class StalePlanError(UnavailableError):
    """A migration has changed the columns of a prepared statement's result; a new session prepares it again."""

    code = UNAVAILABLE


def engine(url: str) -> Engine:
    """This process's engine for a libpq URL, in any form that libpq accepts."""
    return _engine(url, os.getpid())


@lru_cache(maxsize=8)
def _engine(url: str, _process: int) -> Engine:
    # Keyed by process: a forked child must not use the connections of its parent.
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url, ours=True),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=12,
        pool_timeout=10,
        hide_parameters=True,  # they may hold customer ids
    )

    @event.listens_for(made, "connect")
    def note_time(_: Connection, entry: ConnectionPoolEntry) -> None:
        entry.info["made"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def replace_read_only(connection: Connection, entry: ConnectionPoolEntry, _: object) -> None:
        # After a failover the URL leads to the new primary. Until then the standby still answers reads.
        if connection.only_reads() and time.monotonic() - entry.info["made"] > REPLACE_AFTER:
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
        When the same call may succeed on a new session: the server is read-only now, or a table has changed.
    """
    with _session(url) as session:
        yield session


@contextmanager
def snapshot(url: str) -> Iterator[Session]:
    """A read-only session in one REPEATABLE READ transaction."""
    with _session(url, isolation="REPEATABLE READ", read_only=True) as session:
        yield session


@contextmanager
def reader(url: str) -> Iterator[Session]:
    """A session for several transactions; the caller ends each with `rollback`."""
    with _transient_errors(url), Session(engine(url)) as session:
        yield session


@contextmanager
def _session(url: str, **begin: Any) -> Iterator[Session]:
    bound = engine(url).execution_options(begin=begin)
    with _transient_errors(url), Session(bound, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def _transient_errors(url: str) -> Iterator[None]:
    """Raise UnavailableError for errors that a new session does not have, and replace the pool's connections."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        transient = _transient(cause) if isinstance(cause, psycopg.Error) else None
        if transient is None:
            raise
        engine(url).dispose()  # the other pooled connections are in the same state
        raise transient from error


def _transient(error: psycopg.Error) -> UnavailableError | None:
    """The UnavailableError for an error that the session caused; None for an error that the statement caused."""
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
