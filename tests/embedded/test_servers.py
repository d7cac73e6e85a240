"""The embedded servers as commands use them: shared, killed in every way, and never left running; long, since the two
servers share their starts, kills and locks.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.keeper import open_servers
from embedded.postgres import Postgres
from errors import EmbeddedError
from tests.system import wait_for

ROOT = Path(__file__).parent.parent.parent
USE_UNTIL_TOLD = """
import json, sys
from pathlib import Path
from embedded.keeper import open_servers
with open_servers(Path(sys.argv[1]), database=True, redis=True) as urls:
    print(json.dumps(urls), flush=True)
    sys.stdin.read()
"""
NOBODY = 65534


class User:
    """Another process that uses the servers of a home until it is stopped or killed."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-c", USE_UNTIL_TOLD, str(home)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    @property
    def urls(self) -> dict[str, str]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def leave(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def home() -> Iterator[Path]:
    # Not below pytest's default folder: every session closes it to all users but root.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder) / "home"
        wait_for(lambda: not processes(Path(folder)))


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[Path, dict[str, str]]]:
    """A fresh home and the URLs of its servers, which were started with a PGPORT that is meant for others."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder) / "home"
        with pytest.MonkeyPatch.context() as changed:
            changed.setenv("PGPORT", "6543")
            servers = open_servers(home, database=True, redis=True)
            urls = servers.__enter__()
        yield home, urls
        servers.__exit__(None, None, None)
        wait_for(lambda: not processes(Path(folder)))


@pytest.fixture
def enter(home: Path) -> Iterator[Callable[[], User]]:
    """Starts another user of the home, stopped after the test."""
    users: list[User] = []

    def another() -> User:
        users.append(User(home))
        return users[-1]

    yield another
    for user in users:
        user.process.kill()
        user.process.wait()


def processes(home: Path) -> list[psutil.Process]:
    """All processes that use a home's files, except its users."""
    found = []
    for process in psutil.process_iter(["pid", "cwd", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if USE_UNTIL_TOLD not in command and str(home) in f"{command} {process.info['cwd']}":
            found.append(process)
    return found


def the_keeper(home: Path) -> psutil.Process:
    return next(process for process in processes(home) if "embedded.keeper" in process.info["cmdline"])


def the_postgres(home: Path) -> psutil.Process:
    return psutil.Process(int((home / "postgres/data/postmaster.pid").read_text().split()[0]))


def the_redis(urls: dict[str, str]) -> psutil.Process:
    return psutil.Process(redis.Redis.from_url(urls["REDIS_URL"]).info()["process_id"])


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: psutil.Process) -> None:
    process.kill()
    wait_for(lambda: gone(process))


def remember(urls: dict[str, str]) -> None:
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        client.set("kept", "42")


def remembers(urls: dict[str, str]) -> bool:
    try:
        with psycopg.connect(urls["DATABASE_URL"]) as connection:
            row = connection.execute("SELECT number FROM kept").fetchone()
        with redis.Redis.from_url(urls["REDIS_URL"]) as client:
            return row == (42,) and client.get("kept") == b"42"
    except (psycopg.OperationalError, redis.ConnectionError):
        return False


def test_a_fresh_home_gives_both_servers(opened: tuple[Path, dict[str, str]]) -> None:
    _, urls = opened
    remember(urls)
    assert remembers(urls)
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    with redis.Redis.from_url(urls["REDIS_URL"]) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_only_what_is_requested_is_given(home: Path) -> None:
    with open_servers(home, database=False, redis=True) as urls:
        assert list(urls) == ["REDIS_URL"]
    with open_servers(home, database=True, redis=False) as urls:
        assert list(urls) == ["DATABASE_URL"]


def test_nothing_starts_when_nothing_is_requested(home: Path) -> None:
    with open_servers(home, database=False, redis=False) as urls:
        assert urls == {}
        assert not home.exists()


def test_secrets_are_for_their_owner_alone(opened: tuple[Path, dict[str, str]]) -> None:
    home, urls = opened
    password = urlsplit(urls["REDIS_URL"]).password or ""
    holders = [path for path in home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert len(holders) == 1
    assert holders[0].stat().st_mode & 0o777 == 0o600
    assert (home / "postgres").stat().st_mode & 0o777 == 0o700
    assert not any(password in " ".join(process.info["cmdline"]) for process in processes(home))
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=urlsplit(urls["REDIS_URL"]).port or 0, retry=Retry(NoBackoff(), 0)).ping()


def test_the_log_names_no_customer(opened: tuple[Path, dict[str, str]]) -> None:
    home, urls = opened
    with psycopg.connect(urls["DATABASE_URL"]) as connection:
        connection.autocommit = True
        connection.execute("CREATE TABLE orders (mobile_id text PRIMARY KEY, amount numeric)")
        connection.execute("INSERT INTO orders VALUES ('+15550100', 1)")
        for statement in (
            "INSERT INTO orders VALUES ('+15550100', 1)",
            "SELECT '+15550100'::date",
            "SELECT amount / 0 FROM orders WHERE mobile_id = '+15550100'",
            "SELEKT '+15550100'",
        ):
            with pytest.raises(psycopg.Error):
                connection.execute(statement.encode())
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / (%s - 1) FROM orders WHERE mobile_id = %s", [1, "+15550100"])
    said = "".join(log.read_text() for log in (home / "logs").iterdir())
    assert "ready to accept connections" in said and "+15550100" not in said


def test_the_clients_own_pgport_does_not_count(
    opened: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    psycopg.connect(opened[1]["DATABASE_URL"]).close()


def test_users_share_servers_that_outlive_the_first_and_stop_after_the_last(
    home: Path, enter: Callable[[], User]
) -> None:
    first, second = enter(), enter()
    urls = first.urls
    assert second.urls == urls
    remember(urls)
    postgres = the_postgres(home)
    first.leave()
    with open_servers(home, database=True, redis=True) as third:
        second.leave()
        assert third == urls
        assert remembers(urls)
        assert the_postgres(home) == postgres
    wait_for(lambda: not processes(home))


def test_users_that_are_killed_leave_nothing_running(home: Path, enter: Callable[[], User]) -> None:
    users = [enter(), enter()]
    assert users[0].urls == users[1].urls
    for user in users:
        user.kill()
    wait_for(lambda: not processes(home))


def test_many_that_start_at_once_share_one_of_each(home: Path, enter: Callable[[], User]) -> None:
    users = [enter() for _ in range(5)]
    assert len({json.dumps(user.urls) for user in users}) == 1
    commands = [" ".join(process.info["cmdline"]) for process in processes(home)]
    assert sum("embedded.keeper" in command for command in commands) == 1
    assert sum("/bin/postgres" in command for command in commands) == 1
    assert sum("-server" in command for command in commands) == 1
    for user in users:
        user.leave()


def test_who_comes_while_the_servers_stop_gets_new_ones(home: Path) -> None:
    with open_servers(home, database=True, redis=True) as urls:
        remember(urls)
    for _ in range(4):
        with open_servers(home, database=True, redis=True) as urls:
            assert remembers(urls)


@pytest.mark.parametrize("victim", ["postgres", "redis"])
def test_a_server_that_is_killed_comes_back_where_it_was_with_all_it_knew(home: Path, victim: str) -> None:
    with open_servers(home, database=True, redis=True) as urls:
        remember(urls)
        kill(the_postgres(home) if victim == "postgres" else the_redis(urls))
        wait_for(lambda: remembers(urls))


def test_after_a_kill_of_everything_it_starts_again_on_the_same_files(home: Path, enter: Callable[[], User]) -> None:
    user = enter()
    remember(user.urls)
    for process in [the_keeper(home), *processes(home)]:
        with suppress(psutil.NoSuchProcess):  # PostgreSQL's processes end with their first one
            process.kill()
    user.kill()
    with open_servers(home, database=True, redis=True) as urls:
        assert remembers(urls)


def test_a_cut_off_end_of_the_append_only_file_loses_no_more_than_that(home: Path) -> None:
    with open_servers(home, database=False, redis=True) as urls:
        redis.Redis.from_url(urls["REDIS_URL"]).mset({"kept": "42"})
        redis.Redis.from_url(urls["REDIS_URL"]).set("cut", "off")
    wait_for(lambda: not processes(home))
    log = next((home / "redis/appendonlydir").glob("*.incr.aof"))
    os.truncate(log, log.stat().st_size - 3)
    with open_servers(home, database=False, redis=True) as urls:
        assert redis.Redis.from_url(urls["REDIS_URL"]).mget("kept", "cut") == [b"42", None]


def test_a_stale_pid_that_is_another_program_now_is_no_hindrance(home: Path) -> None:
    with open_servers(home, database=True, redis=False):
        owner = (home / "postgres/data").stat().st_uid
    wait_for(lambda: not processes(home))
    drop = {"user": owner, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], cwd="/", **drop) as another:
        for name in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
            (home / "postgres" / name).write_text(f"{another.pid}\n{home}/postgres/data\n1\n5432\n\n\n\nready\n")
        with open_servers(home, database=True, redis=False) as urls:
            psycopg.connect(urls["DATABASE_URL"]).close()
        another.kill()


def test_the_next_keeper_adopts_what_a_killed_one_started(home: Path, enter: Callable[[], User]) -> None:
    user = enter()
    urls = user.urls
    servers = [the_postgres(home), the_redis(urls)]
    kill(the_keeper(home))
    with open_servers(home, database=True, redis=True) as again:
        assert again == urls
        assert [the_postgres(home), the_redis(again)] == servers
        assert the_keeper(home).is_running()
    user.leave()
    wait_for(lambda: not processes(home))


def test_the_last_user_of_a_killed_keeper_leaves_nothing_running(home: Path) -> None:
    with open_servers(home, database=True, redis=True):
        kill(the_keeper(home))
    wait_for(lambda: not processes(home))


def test_a_keeper_ignores_the_terminal_and_stops_on_sigterm(home: Path) -> None:
    with open_servers(home, database=True, redis=True) as urls:
        keeper = the_keeper(home)
        keeper.send_signal(signal.SIGINT)
        keeper.send_signal(signal.SIGHUP)
        remember(urls)
        assert keeper.is_running()
        keeper.terminate()
        wait_for(lambda: not processes(home))
        with open_servers(home, database=True, redis=True) as again:
            assert remembers(again)


def test_homes_are_strangers_to_each_other(home: Path) -> None:
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(open_servers(home.with_name(name), database=True, redis=True))
            for name in ("one", "other")
        )
        assert one["DATABASE_URL"] != other["DATABASE_URL"]
        assert one["REDIS_URL"] != other["REDIS_URL"]
        remember(one)
        remember(other)


@pytest.mark.parametrize("name", ["long" * 50, "with spaces, a comma and an é", "a \"quoted\" 'name' $HOME `id` %20:1"])
def test_a_home_may_have_any_name(home: Path, name: str) -> None:
    home = home.with_name(name)
    with open_servers(home, database=True, redis=True) as urls:
        remember(urls)
    with open_servers(home, database=True, redis=True) as urls:
        assert remembers(urls)
    wait_for(lambda: not processes(home))
    assert not Postgres(home).sockets.exists() or Postgres(home).sockets == home / "postgres"


def test_a_socket_folder_that_is_not_ours_alone_is_refused(home: Path) -> None:
    home = home.with_name("long" * 50)
    sockets = Postgres(home).sockets
    sockets.mkdir(mode=0o755)
    try:
        with (
            pytest.raises(EmbeddedError, match=f"{sockets} is not private to us"),
            open_servers(home, database=True, redis=False),
        ):
            pass
    finally:
        sockets.rmdir()


def test_a_port_that_was_taken_meanwhile_is_exchanged(home: Path) -> None:
    with open_servers(home, database=False, redis=True) as urls:
        before = urlsplit(urls["REDIS_URL"])
    wait_for(lambda: not processes(home))
    with socket.create_server(("127.0.0.1", before.port or 0)), open_servers(home, database=False, redis=True) as urls:
        after = urlsplit(urls["REDIS_URL"])
        assert redis.Redis.from_url(urls["REDIS_URL"]).ping()
        assert (after.password, after.port != before.port) == (before.password, True)


def test_a_broken_data_folder_is_reported_in_one_sentence(home: Path) -> None:
    with open_servers(home, database=True, redis=False):
        pass
    wait_for(lambda: not processes(home))
    (home / "postgres/data/PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedError) as reported, open_servers(home, database=True, redis=False):
        pass
    assert str(reported.value).startswith(f"PostgreSQL did not start; the last message in {home}/logs/postgres.log: ")
    assert "FATAL:  database files are incompatible with server" in str(reported.value)
    assert "\n" not in str(reported.value)
    with open_servers(home, database=False, redis=True) as urls:
        assert redis.Redis.from_url(urls["REDIS_URL"]).ping()


def test_a_broken_append_only_file_is_reported_in_one_sentence(home: Path) -> None:
    with open_servers(home, database=False, redis=True):
        pass
    wait_for(lambda: not processes(home))
    next((home / "redis/appendonlydir").glob("*.manifest")).write_text("nonsense\n")
    with pytest.raises(
        EmbeddedError, match=r"Redis did not start; .*/logs/redis\.log: .*Invalid AOF manifest file format"
    ):
        open_servers(home, database=False, redis=True).__enter__()


def test_a_home_that_is_a_file_is_reported_in_one_sentence(home: Path) -> None:
    home.write_text("")
    with pytest.raises(EmbeddedError, match="SMARTCRM_HOME"):
        open_servers(home, database=True, redis=True).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="every test runs as an ordinary user already")
def test_an_ordinary_user_has_servers_too() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        os.chown(home, NOBODY, NOBODY)
        command, drop = [sys.executable, "-c"], {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        try:
            if subprocess.run([*command, "import embedded.keeper"], cwd=ROOT, capture_output=True, **drop).returncode:
                pytest.skip("the checkout or its interpreter can't be read by other users")
        except PermissionError:
            pytest.skip("the interpreter can't be run by other users")
        run = [*command, USE_UNTIL_TOLD, str(home)]
        done = subprocess.run(run, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, **drop)
        assert list(json.loads(done.stdout)) == ["DATABASE_URL", "REDIS_URL"], done.stderr
        assert {path.stat().st_uid for path in home.rglob("*")} == {NOBODY}
        wait_for(lambda: not processes(home))


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's server has the user's own rights")
def test_a_way_that_is_shut_to_the_server_meanwhile_leaves_nothing_running(home: Path) -> None:
    with open_servers(home, database=True, redis=True):
        home.parent.chmod(0o700)
    wait_for(lambda: not processes(home))
    assert "database system is shut down" in (home / "logs/postgres.log").read_text()


def test_a_home_that_is_removed_takes_its_servers_with_it(home: Path) -> None:
    with open_servers(home, database=True, redis=True) as urls:
        left = [the_keeper(home), the_redis(urls), the_postgres(home)]
        while home.exists():
            shutil.rmtree(home, ignore_errors=True)  # the servers may write meanwhile
        wait_for(lambda: all(gone(process) for process in left))
    assert not home.exists()
