"""PostgreSQL connections, to our own database and the CRM's, and the session settings that we rely on.

Every setting is set explicitly, since a role, a database, the environment or another client of a pooler may have
changed it. Behind a pooler that shares sessions, such as PgBouncer in transaction mode, SET LOCAL makes the settings in
the round trip that begins each transaction, and there are no prepared statements.
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

# How values are written as text and read from text.
_MEANINGS = {
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",  # a float's decimal text, from which its cents are rounded
}
# Celery limits the time of steps and parts; a role's limits could be shorter.
_LIMITS = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
# A worker that is killed, or whose host is gone, must not keep its locks: the server checks its client also during a
# long statement, and gives up a silent host within a minute instead of after two hours.
_LIVENESS = {
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
# Accepted requests have to survive a crash; parts switch it off for their own transactions.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', {local}) WHERE current_setting('synchronous_commit') = 'off'"
# Our schema comes first in the search_path, before other tables of the same names.
_PATH = "SELECT set_config('search_path', '\"{schema}\", ' || current_setting('search_path'), {local})"

_SCHEMA = re.compile(r"\s*-c\s*smartcrm\.schema=(\w+)")


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection with the settings above; its transactions begin with `begin`."""

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
        """Whether the server reports that it is read-only now; False behind a pooler, where it is not known."""
        names = (b"in_hot_standby", b"default_transaction_read_only")
        return not self.pooled and b"on" in map(self.pgconn.parameter_status, names)

    def _pin(self) -> None:
        pid = self.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
        self.pooled = pid != (self.info.backend_pid,)  # a pooler reports its own process id
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
    """A connection in autocommit mode; `ours`: to our own tables, in the URL's schema.

    TCP keepalives end it within a minute after the database's host has gone.

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
        With the setting's name and the server's reason, but without the URL, which may hold a password.
    """
    try:
        return connect(url)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")  # the second line asks whether the server runs
        raise UnavailableError(f"{name}: PostgreSQL can't be reached: {reason}.") from None


def conninfo(url: str) -> str:
    """A libpq URL as a connection string with our timeouts, keepalives and application name."""
    options = _SCHEMA.sub("", _options(url)).strip()
    given: dict[str, Any] = {name: value for name, value in conninfo_to_dict(url).items() if name != "options"}
    given |= {"options": options} if options else {}
    given |= {"connect_timeout": 5, "client_encoding": "UTF8", "application_name": "smartcrm"}
    given |= {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
    return make_conninfo(**given)


def with_schema(url: str, schema: str) -> str:
    """The URL with our tables' schema added, as a custom option that PostgreSQL ignores.

    So every function that has the URL has the schema as well.
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
    """Resolve table names as for the CRM's database: by the search_path of the URL's user, with our schema last."""
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
        With the setting's name and the server's reason, but without the URL, which may hold a password.
    """
    named_connection(url, name).close()


def tune(connection: psycopg.Connection[Any]) -> None:
    """Settings for one bulk statement, until the transaction ends.

    No parallel workers, since each part is a task; no JIT, which takes longer than it saves; memory for a part's
    groups.
    """
    connection.execute(
        "SET LOCAL work_mem = '256MB'; SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0"
    )
