"""The faults: each is injected during an import's runs, and is over at the end of its block; long, since it lists every
fault.

A fault prepares, lets the import be requested (`yield`), injects at a random moment or at a named point, and repairs
what the system does not. A named point that is not reached raises TimeoutError, since the test would prove nothing.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql

from broker.address import PREFIX
from embedded.restarts import LONGEST
from tests.faults.plant import SHARDS, Plant
from tests.faults.wire import ACKNOWLEDGEMENT, CHORD_MARK
from tests.system import read, wait_for

QUEUES = (f"{PREFIX}compute", f"{PREFIX}control")
USUAL_RUN = 0.7  # seconds that both runs take here, about
_UNDER_WAY = "SELECT count(*) AS n FROM analytics_runs WHERE status IN ('pending', 'running')"


@dataclass
class Strike:
    """One injection: the plant, the length of pauses in seconds, and when it was over, if not at the end."""

    plant: Plant
    pause: float
    ended: float | None = None
    hit: bool = True  # whether a run was under way

    def ends(self) -> None:
        """Note that from here on the system has everything to recover."""
        self.ended = time.monotonic()

    def at_random(self) -> None:
        """Wait until a random moment of the runs, and note whether they are in progress."""
        time.sleep(self.plant.chance.uniform(0, USUAL_RUN))
        self.hit = bool(read(self.plant.database_url, _UNDER_WAY).n[0])

    def kill(self, process: psutil.Process) -> None:
        """Send SIGKILL, unless it has ended."""
        with suppress(psutil.NoSuchProcess):
            process.kill()


Fault = Callable[[Strike], AbstractContextManager[None]]


# ---- processes


@contextmanager
def pool_child_killed(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    strike.kill(strike.plant.chance.choice(strike.plant.pool()))


@contextmanager
def pool_child_killed_before_chord_mark(strike: Strike) -> Iterator[None]:
    trap = strike.plant.wire.trap(CHORD_MARK)
    yield
    trap.wait()
    while not _has_done_parts(strike.plant):  # a mark that an earlier fault has delayed
        late, trap = trap, strike.plant.wire.trap(CHORD_MARK)
        late.release()
        trap.wait()
    strike.kill(strike.plant.owner(trap.port))
    trap.release()


@contextmanager
def pool_killed_in_the_reduce(strike: Strike) -> Iterator[None]:
    plant = strike.plant
    yield
    with psycopg.connect(plant.database_url) as holder:
        # The first shard's rows are there, others are not: whoever waits for them is the reduce.
        table = wait_for(partial(_staging_table, plant))
        holder.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(sql.Identifier(table)))
        wait_for(lambda: _waits_for(plant, table))
        for child in plant.pool():
            strike.kill(child)


@contextmanager
def pool_killed_in_the_publish(strike: Strike) -> Iterator[None]:
    plant = strike.plant
    with psycopg.connect(plant.database_url) as holder:
        holder.execute("LOCK TABLE analytics_published IN SHARE MODE")
        yield
        wait_for(lambda: _waits_for(plant, "analytics_published"))
        for child in plant.pool():
            strike.kill(child)


@contextmanager
def worker_killed_between_publish_and_acknowledgement(strike: Strike) -> Iterator[None]:
    plant = strike.plant
    with psycopg.connect(plant.database_url) as holder:
        holder.execute("LOCK TABLE analytics_published IN SHARE MODE")
        yield
        wait_for(lambda: _waits_for(plant, "analytics_published"))
        before = _succeeded(plant)
        trap = plant.wire.trap(ACKNOWLEDGEMENT)
        holder.rollback()
        trap.wait()
        wait_for(lambda: _succeeded(plant) > before)
    plant.kill("worker")
    trap.release()


@contextmanager
def worker_killed(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    strike.plant.kill("worker")


@contextmanager
def two_workers_killed_at_once(strike: Strike) -> Iterator[None]:
    plant = strike.plant
    plant.also("worker2", "worker", "--queues", "control,compute", "--hostname", "worker2@%h")
    wait_for(lambda: len(plant.pool("worker2")) == len(plant.pool()))
    try:
        yield
        strike.at_random()
        plant.kill("worker")
        plant.kill("worker2")
    finally:
        plant.group.end("worker2")


@contextmanager
def beat_killed(strike: Strike) -> Iterator[None]:
    with thief(strike.plant, lambda message: []) as stolen:
        yield
        strike.at_random()
        strike.plant.kill("beat")
        wait_for(stolen)


@contextmanager
def beat_killed_alone(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    strike.plant.kill("beat")


@contextmanager
def webhook_killed(strike: Strike) -> Iterator[None]:
    plant, done = strike.plant, threading.Event()

    def strikes() -> None:
        strike.at_random()
        plant.kill("webhook")
        done.set()

    threading.Thread(target=strikes).start()
    yield
    done.wait()


# ---- Redis


@contextmanager
def redis_killed(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    strike.kill(strike.plant.redis_server())
    wait_for(lambda: _answers(strike.plant), LONGEST + 30)  # what is killed often is started again later


@contextmanager
def redis_emptied(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    server = strike.plant.redis_server()
    server.suspend()  # so that it writes nothing anew
    shutil.rmtree(strike.plant.home / "servers/redis/appendonlydir")
    strike.kill(server)
    wait_for(lambda: _answers(strike.plant), LONGEST + 30)


@contextmanager
def redis_paused(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    _pause(strike, strike.plant.redis_server())


@contextmanager
def connection_cut_in_the_chord_mark(strike: Strike) -> Iterator[None]:
    trap = strike.plant.wire.trap(CHORD_MARK, cuts=True)
    yield
    trap.wait()


# ---- PostgreSQL


@contextmanager
def postgres_restarted(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    strike.plant.postmaster().send_signal(signal.SIGINT)
    wait_for(lambda: _serves_anew(strike.plant))


@contextmanager
def postgres_killed(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    postmaster = strike.plant.postmaster()
    for process in [postmaster, *postmaster.children(recursive=True)]:
        strike.kill(process)
    wait_for(lambda: _serves_anew(strike.plant), LONGEST + 30)


@contextmanager
def connections_terminated(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    mine = "application_name = 'smartcrm' AND pid <> pg_backend_pid()"
    read(strike.plant.database_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")


@contextmanager
def postgres_paused(strike: Strike) -> Iterator[None]:
    yield
    strike.at_random()
    _pause(strike, strike.plant.postmaster())


@contextmanager
def disk_full(strike: Strike) -> Iterator[None]:
    """New tables are on a small file system that is filled completely."""
    plant = strike.plant
    with (
        small_disk(plant.home / "small") as (disk, ballast),
        psycopg.connect(plant.database_url, autocommit=True) as admin,
    ):
        admin.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(disk))))
        for change in ("SET default_tablespace = small", "RESET default_tablespace"):
            admin.execute(f"ALTER DATABASE postgres {change}")  # type: ignore[arg-type]
            if change.startswith("SET"):
                _renew_sessions(plant)
                _fill(ballast)
                yield
                wait_for(lambda: "DiskFull" in plant.log.read_text(errors="replace"))
                ballast.unlink()
                strike.ends()
                plant.finished(plant.requested)
        _renew_sessions(plant)
        plant.finished([plant.imports()])
        wait_for(lambda: (plant.clear(), not read(plant.database_url, _IN_SMALL).any(axis=None))[1])
        admin.execute("DROP TABLESPACE small")


_IN_SMALL = """
SELECT relname FROM pg_class JOIN pg_tablespace ON pg_tablespace.oid = reltablespace WHERE spcname = 'small'
"""


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, Path]]:
    """A file system of 8 MB: a folder for PostgreSQL, and the path of a file beside it."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        folder.rmdir()
        pytest.skip("only root can make a small file system")
    try:
        (folder / "tables").mkdir()
        owner = (folder.parent / "servers/postgres/data").stat()
        shutil.chown(folder / "tables", owner.st_uid, owner.st_gid)
        yield folder / "tables", folder / "ballast"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def _fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _renew_sessions(plant: Plant) -> None:
    mine = "application_name = 'smartcrm' AND pid <> pg_backend_pid()"
    read(plant.database_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")


# ---- messages


@contextmanager
def thief(plant: Plant, returns: Callable[[bytes], list[bytes]]) -> Iterator[Callable[[], int]]:
    """Takes messages from the queues in competition with the worker, and puts back what `returns` makes of each.

    Yields the number of messages taken so far.
    """
    stopping, taken = threading.Event(), [0]

    def steal() -> None:
        client: Any = plant.redis
        while not stopping.is_set():
            found = client.brpop(QUEUES, timeout=0.5)
            if found is not None:
                taken[0] += 1
                for message in returns(found[1]):
                    client.lpush(found[0], message)

    thread = threading.Thread(target=steal)
    thread.start()
    try:
        yield lambda: taken[0]
    finally:
        stopping.set()
        thread.join()


@contextmanager
def messages_dropped(strike: Strike) -> Iterator[None]:
    with thief(strike.plant, lambda message: []) as taken:
        yield
        wait_for(taken)
        time.sleep(USUAL_RUN)


@contextmanager
def messages_duplicated(strike: Strike) -> Iterator[None]:
    with thief(strike.plant, _Once()) as taken:
        yield
        wait_for(taken)
        time.sleep(USUAL_RUN)


@contextmanager
def messages_late(strike: Strike) -> Iterator[None]:
    kept: list[bytes] = []

    def keep(message: bytes) -> list[bytes]:
        kept.append(message)
        return []

    with thief(strike.plant, keep) as taken:
        yield
        wait_for(taken)
        time.sleep(USUAL_RUN)
    time.sleep(strike.pause)
    for message in kept:
        strike.plant.redis.lpush(QUEUES[b"advance" in message], message)


@contextmanager
def messages_twice_at_once(strike: Strike) -> Iterator[None]:
    """Every message is duplicated while the worker is paused; then both are there for its two processes."""
    plant = strike.plant
    parent = plant.group.processes("worker")[0]
    parent.suspend()
    try:
        yield
        doubled = sum(_double(plant, queue) for queue in QUEUES)
        assert doubled, "no message was there to be doubled"
    finally:
        parent.resume()
    with thief(plant, _Once()):
        time.sleep(USUAL_RUN)


class _Once:
    """Two of each message, except for one that is delivered again."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def __call__(self, message: bytes) -> list[bytes]:
        if message in self._seen:
            return [message]
        self._seen.add(message)
        return [message, message]


def _double(plant: Plant, queue: str) -> int:
    client: Any = plant.redis
    found = client.lrange(queue, 0, -1)
    for message in found:
        client.lpush(queue, message)
    return len(found)


# ---- clocks and beats


@contextmanager
def clock_jumps(strike: Strike, *, hours: int) -> Iterator[None]:
    """Beat's clock jumps, and the run's messages are lost: only a sweep can help."""
    plant = strike.plant
    offset = plant.home / "offset"
    offset.write_text("0")
    plant.group.end("beat")
    folder = plant.home / "jumping"
    folder.mkdir(exist_ok=True)
    argv = ["-m", "tests.faults.jumping_clock", str(offset), "-A", "worker.app", "beat", "--loglevel", "INFO"]
    plant.python("jumping beat", argv, SMARTCRM_HOME=str(folder))
    _sweeps(plant)
    try:
        offset.write_text(str(3600 * hours))
        with messages_dropped(strike):
            yield
        strike.ends()
        plant.finished(plant.requested)
    finally:
        plant.group.end("jumping beat")
        shutil.rmtree(folder)
        plant.also("beat", "beat")


@contextmanager
def two_beats(strike: Strike) -> Iterator[None]:
    plant = strike.plant
    folder = plant.home / "second"
    folder.mkdir(exist_ok=True)
    plant.also("second beat", "beat", SMARTCRM_HOME=str(folder))
    _sweeps(plant)
    try:
        with messages_dropped(strike):
            yield
        strike.ends()
        plant.finished(plant.requested)
    finally:
        plant.group.end("second beat")
        shutil.rmtree(folder)


# ---- helpers


def _pause(strike: Strike, process: psutil.Process) -> None:
    # The CRM goes on importing meanwhile.
    importing = threading.Thread(target=strike.plant.imports)
    importing.start()
    strike.plant.stand_still(process, strike.pause)
    importing.join()


def _serves_anew(plant: Plant) -> bool:
    with suppress(psycopg.OperationalError):
        started = read(plant.database_url, "SELECT now() - pg_postmaster_start_time() < interval '30 s' AS anew")
        return bool(started.anew[0])
    return False


def _has_done_parts(plant: Plant) -> bool:
    parts = "SELECT 1 FROM analytics_parts JOIN analytics_runs USING (run_id)"
    return len(read(plant.database_url, f"{parts} WHERE status = 'running' AND done_at IS NOT NULL")) > 0


def _answers(plant: Plant) -> bool:
    with suppress(Exception):
        return bool(plant.redis.ping())
    return False


def _staging_table(plant: Plant) -> str | None:
    # Of the run that works: those of earlier ones are being dropped, and whoever waits for them is the sweep.
    names = read(
        plant.database_url,
        "SELECT relname FROM pg_class JOIN analytics_runs ON relname LIKE 'rfm_staging_g' || generation || '_s%'"
        " WHERE status = 'running' LIMIT 1",
    )
    return None if names.empty else str(names.relname[0])


def _waits_for(plant: Plant, table: str) -> bool:
    query = f"SELECT FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
    return len(read(plant.database_url, query)) > 0


def _succeeded(plant: Plant) -> int:
    return len(read(plant.database_url, "SELECT FROM analytics_runs WHERE status = 'succeeded'"))


def _sweeps(plant: Plant) -> None:
    """Wait for two sweeps: the first may be one that an ended beat has sent."""
    before = _swept(plant)
    wait_for(lambda: _swept(plant) >= before + 2)


def _swept(plant: Plant) -> float:
    query = "SELECT coalesce(sum(value), 0) AS sweeps FROM analytics_totals WHERE name = 'sweeps'"
    return float(read(plant.database_url, query).sweeps[0])


# Those that strike at any time, with or without an import of their own.
OF_A_SOAK: tuple[Fault, ...] = (
    pool_child_killed,
    worker_killed,
    beat_killed_alone,
    webhook_killed,
    redis_killed,
    redis_emptied,
    redis_paused,
    postgres_restarted,
    postgres_killed,
    postgres_paused,
    connections_terminated,
    messages_dropped,
    messages_duplicated,
)


@dataclass(frozen=True)
class Named:
    """A fault with its name, the kinds and mode of its import, and whether it is in the short form."""

    name: str
    fault: Fault
    kinds: tuple[str, ...] = ()
    mode: str | None = None  # None: full or incremental, as chance has it
    point: str = ""
    short: bool = False


FAULTS = (
    Named("pool child killed", pool_child_killed),
    Named(
        "pool child killed",
        pool_child_killed_before_chord_mark,
        mode="full",
        point="after a part's commit, before its chord mark",
        short=True,
    ),
    Named("pool killed", pool_killed_in_the_reduce, ("rfm",), "full", "in the reduce", short=True),
    Named("pool killed", pool_killed_in_the_publish, point="in the publish, before its commit"),
    Named("worker killed", worker_killed),
    Named(
        "worker killed",
        worker_killed_between_publish_and_acknowledgement,
        ("rfm",),
        point="between publish and acknowledgement",
        short=True,
    ),
    Named("two workers killed at once", two_workers_killed_at_once),
    Named("beat killed, messages lost meanwhile", beat_killed),
    Named("webhook killed", webhook_killed, short=True),
    Named("Redis killed, restarted with its AOF", redis_killed),
    Named("Redis killed, restarted empty", redis_emptied, short=True),
    Named("Redis paused", redis_paused),
    Named("Redis connection cut", connection_cut_in_the_chord_mark, mode="full", point="in a part's chord mark"),
    Named("PostgreSQL restarted", postgres_restarted),
    Named("PostgreSQL killed", postgres_killed, short=True),
    Named("PostgreSQL connections terminated", connections_terminated, short=True),
    Named("PostgreSQL paused", postgres_paused),
    Named("PostgreSQL disk full", disk_full, mode="full"),
    Named("messages duplicated", messages_duplicated),
    Named("messages late", messages_late),
    Named("messages delivered twice at once", messages_twice_at_once),
    Named("messages dropped", messages_dropped, short=True),
    Named("clock set back an hour, messages dropped", partial(clock_jumps, hours=-1)),
    Named("clock set forward an hour, messages dropped", partial(clock_jumps, hours=1)),
    Named("two beats, messages dropped", two_beats),
)
assert SHARDS > 1  # a reduce has something to wait for
