"""Real servers for tests: one PostgreSQL and one Redis per session, and a database for each test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, settings
from psycopg import sql

from embedded import locks
from embedded.keeper import open_servers
from store.database import engine
from store.schema import migrate
from tests.system import Workers, wait_for

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
FAILED = pytest.StashKey[bool]()
_numbers = itertools.count(1)

# No test depends on how fast the machine is. Each run draws other examples, so that few of them are enough.
settings.register_profile("untimed", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--times N`: every fault of tests/faults, N times; without it the short form, once each.

    Defined here, since pytest reads options only from the conftest files of the folders in its arguments.
    """
    parser.addoption("--times", type=int, default=0)
    parser.addoption("--report", type=Path, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Create a temporary folder for the session; with xdist, the workers' folders are below it.

    Servers of root's sessions run as another user, who has to traverse the folders above their files. pytest's default
    folder is shared by all sessions of a user, and each session closes it to other users at its start.
    """
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="tests-")
        config.add_cleanup(lambda: _remove(config))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keep the temporary folder of a session that failed."""
    session.config.stash[FAILED] = bool(exitstatus)


def _remove(config: pytest.Config) -> None:
    if config.stash.get(FAILED, True):
        print(f"The tests' files are kept in {config.option.basetemp}")
    else:
        shutil.rmtree(config.option.basetemp, ignore_errors=True)


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """DATABASE_URL and REDIS_URL of servers that end with the session.

    PostgreSQL does not wait for the disk: these files need not outlive the machine, and each database that is made and
    dropped would wait several times. The server that faults strike (tests/faults) is another one and does wait.
    """
    with tempfile.TemporaryDirectory() as home:
        with open_servers(Path(home), database=True, redis=True) as urls:
            with psycopg.connect(urls["DATABASE_URL"], autocommit=True) as admin:
                admin.execute("ALTER SYSTEM SET fsync = off")
                admin.execute("ALTER SYSTEM SET full_page_writes = off")
                admin.execute("SELECT pg_reload_conf()")
            yield urls
        wait_for(lambda: not locks.held(Path(home) / "keeper.lock"))


@contextmanager
def fresh_database(servers: dict[str, str], template: str = "template1") -> Iterator[str]:
    """A copy of the template, or an empty database, dropped at the end."""
    name = f"test_{next(_numbers)}"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    with psycopg.connect(servers["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(create)
        yield url_of(servers, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def url_of(servers: dict[str, str], name: str) -> str:
    """A database's URL."""
    return servers["DATABASE_URL"].replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def migrated(servers: dict[str, str]) -> str:
    """The name of a database with our tables, to be copied: that is faster than to migrate each one."""
    name = "migrated"
    with psycopg.connect(servers["DATABASE_URL"], autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(url_of(servers, name))
        engine(url_of(servers, name)).dispose()
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
    return name


@pytest.fixture
def database_url(servers: dict[str, str]) -> Iterator[str]:
    """A fresh, empty database."""
    with fresh_database(servers) as url:
        yield url


@pytest.fixture
def other_database_url(servers: dict[str, str]) -> Iterator[str]:
    """A second empty database."""
    with fresh_database(servers) as url:
        yield url


@pytest.fixture
def migrated_url(servers: dict[str, str], migrated: str) -> Iterator[str]:
    """A fresh database with our tables."""
    with fresh_database(servers, migrated) as url:
        yield url


def empty_redis(servers: dict[str, str]) -> str:
    """The URL of an emptied Redis database, with the next one for results."""
    server, number = servers["REDIS_URL"].rsplit("/", 1)[0], 2 * (next(_numbers) % 8)
    for database in (number, number + 1):
        redis.Redis.from_url(f"{server}/{database}").flushdb()
    return f"{server}/{number}"


@pytest.fixture
def redis_url(servers: dict[str, str]) -> str:
    """An empty Redis database for this test, with the next one for results."""
    return empty_redis(servers)


@pytest.fixture
def workers(migrated_url: str, redis_url: str, tmp_path: Path) -> Iterator[Workers]:
    """Starts real prefork workers on this test's database and Redis, and stops them."""
    with Workers(migrated_url, redis_url, tmp_path) as started:
        yield started


@pytest.fixture(params=[pytest.param("online_retail", marks=pytest.mark.long), "restaurant"])
def data_folder(request: pytest.FixtureRequest) -> Path:
    """A folder of real data."""
    folder = DATA / request.param
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder
