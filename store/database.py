"""One engine per process and one session helper; every transaction on our database goes through here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from postgres import FLOATS_IN_FULL, NOTICE_THE_DEAD, conninfo


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
