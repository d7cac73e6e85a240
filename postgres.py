"""PostgreSQL connections, for our own tables and the CRM's alike: how they are opened, and what they rely on.

A role, a database, the environment or another client of a pooler may have set anything. Behind a pooler that shares
sessions between clients, such as PgBouncer in transaction mode, nothing may stay set and no prepared statement may
stay behind: there the settings are made in the round trip that begins each transaction, and end with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from errors import UnavailableError

PUBLIC = "public"

# What a value is as text, and what a text is as a value.
_MEANINGS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",  # a float's decimal text, and so what it is in money
}
# Steps and their parts have limits of their own; a role's would end a long one before.
_LIMITS = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
# A worker that is killed, or whose host is gone, must not keep its locks: the server looks after its client even in
# the middle of a long statement, and gives up a silent host within a minute instead of after two hours.
_LIVENESS = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
# An accepted import survives a crash; parts say for themselves that their commits need not wait.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', {local}) WHERE current_setting('synchronous_commit') = 'off'"
# Our tables come first, whatever tables of these names are in the search_path of the URL's user.
_PATH = "SELECT set_config('search_path', '\"{schema}\", ' || current_setting('search_path'), {local})"

_SCHEMA = re.compile(r"\s*-c\s*smartcrm\.schema=(\w+)")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose transactions begin with `begin` and rely on no setting but those above."""

    schema = ""  # where our tables are; empty for the CRM's database
    pooled = False  # whether a pooler is in between
    _each_time = ""

    def begin(self, isolation: str = "READ COMMITTED", *, read_only: bool = False) -> None:
        """Begin a transaction."""
        self.execute(
            f"BEGIN ISOLATION LEVEL {isolation}{' READ ONLY' if read_only else ''}{self._each_time}".encode(),
            prepare=False,
        )

    def only_reads(self) -> bool:
        """Whether the server says that it takes no writes now; of one behind a pooler nothing is known."""
        told = (self.pgconn.parameter_status(name) for name in (b"in_hot_standby", b"default_transaction_read_only"))
        return not self.pooled and b"on" in told

    def _pin(self) -> None:
        pid = self.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
        self.pooled = pid != (self.info.backend_pid,)  # a pooler hands out process ids of its own
        wanted = _MEANINGS | _LIMITS | _LIVENESS
        if self.info.server_version >= 170_000:
            wanted["transaction_timeout"] = "0"
        of = {"schema": self.schema, "local": "true" if self.pooled else "false"}
        statements = [f"SET {'LOCAL ' if self.pooled else ''}{name} = '{value}'" for name, value in wanted.items()]
        statements += [_DURABLE.format(**of), *([_PATH.format(**of)] if self.schema else [])]
        if self.pooled:
            self.prepare_threshold = None
            self._each_time = "".join(f"; {statement}" for statement in statements)
        else:
            self.execute("; ".join(statements).encode(), prepare=False)


def connect(url: str, *, ours: bool = False) -> Connection:
    """A connection in autocommit mode; `ours` says that it is to our own tables, in the URL's schema.

    Of a database whose host has gone it hears within a minute.

    Raises
    ------
    psycopg.OperationalError
        When PostgreSQL can't be reached.
    """
    connection = Connection.connect(conninfo(url), autocommit=True)
    try:
        connection.schema = schema_of(url) if ours else ""
        connection._pin()
    except BaseException:
        connection.close()
        raise
    return connection


def named_connection(url: str, name: str) -> Connection:
    """A connection to the database that a setting names.

    Raises
    ------
    UnavailableError
        With the setting's name and the server's reason, and never the URL, which may hold a password.
    """
    try:
        return connect(url)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UnavailableError(f"{name}: PostgreSQL can't be reached: {reason}.") from None


def conninfo(url: str) -> str:
    """A libpq URL as our programs use it."""
    options = _SCHEMA.sub("", _options(url)).strip()
    given: dict[str, Any] = {name: value for name, value in conninfo_to_dict(url).items() if name != "options"}
    given |= {"options": options} if options else {}
    given |= {"connect_timeout": 5, "client_encoding": "UTF8", "application_name": "smartcrm"}
    given |= {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
    return make_conninfo(**given)


def with_schema(url: str, schema: str) -> str:
    """The URL with our tables' schema in it, as an option that PostgreSQL itself would pass over.

    So every function that is given a database knows the schema, too.
    """
    options = f"{_options(url)} -csmartcrm.schema={schema}".strip()
    wanted = conninfo_to_dict(url) | {"options": options}
    for joint in "&?":
        with suppress(psycopg.ProgrammingError):
            marked = f"{url}{joint}options={quote(options, safe='')}"
            if conninfo_to_dict(marked) == wanted:
                return marked
    raise ValueError("is not a URL that an option can be added to")


def schema_of(url: str) -> str:
    """The schema of our tables in this database."""
    found = _SCHEMA.search(_options(url))
    return found[1] if found else PUBLIC


def _options(url: str) -> str:
    return str(conninfo_to_dict(url).get("options") or "")


@contextmanager
def source_names(connection: Connection) -> Iterator[None]:
    """Have table names mean what they mean to the URL's user, as in the CRM's database, and ours come last."""
    ours, path = f'"{connection.schema}"', str(scalar(connection, "SELECT current_setting('search_path')"))
    use = "SELECT set_config('search_path', %s, true)"
    connection.execute(use, [f"{path.removeprefix(f'{ours}, ')}, {ours}"])
    yield
    connection.execute(use, [path])


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
    named_connection(url, name).close()


def tune(connection: psycopg.Connection[Any]) -> None:
    """Session settings for one bulk statement; they end with the transaction.

    Parallelism is ours (one task per part), compiling costs more than it gives, and a part's groups fit.
    """
    connection.execute(
        "SET LOCAL work_mem = '256MB'; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
    )
