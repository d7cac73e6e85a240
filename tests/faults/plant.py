"""The whole system on its own servers, with a CRM that imports, readers that poll, and the oracle; long, since it is
one system with everything that faults are injected into.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pandas as pd
import psutil
import psycopg
import redis
import requests
from celery import Celery
from psycopg import IsolationLevel
from standardwebhooks import Webhook

from embedded import services
from embedded.group import ProcessGroup
from embedded.keeper import open_servers
from embedded.ports import choose_port
from kinds import upkeep
from settings import Settings
from store import runs, schema
from store.database import engine, transaction
from tests import builders, oracle
from tests.faults.wire import Wire
from tests.kinds.recommendations.states import compare
from tests.system import fill, menu_recommendation, read, rfm_segments, wait_for

SECRET = "whsec_" + "ZmF1bHRzIGZhdWx0cyBmYXVsdHMgZmF1bHRzIQ=="
SHARDS = 4
CUSTOMERS, ITEMS, HISTORY = 300, 25, 2_000
AHEAD = timedelta(milliseconds=300)

STATE = """
SELECT (SELECT (count(*), coalesce(sum(frequency), 0), coalesce(sum(monetary * 100), 0)::bigint)::text
        FROM rfm_segments),
       (SELECT (coalesce(sum(orders), 0), trim_scale(coalesce(sum(quantity), 0)))::text FROM menu_recommendation)
"""


class Group(ProcessGroup):
    """Restarts ended programs at once: the delays of `up` would dominate the measurement."""

    def watch(self) -> None:
        """Restart ended programs, except stopped ones."""
        for program in self._programs:
            if program.process.poll() is not None:
                self._spawn(program)

    def processes(self, name: str) -> list[psutil.Process]:
        """A program's processes, its first one first; none while it starts."""
        for program in self._programs:
            if program.name == name:
                with suppress(psutil.NoSuchProcess):
                    return psutil.Process(program.process.pid).children(recursive=True)
        return []

    def end(self, name: str) -> None:
        """Stop a program for good."""
        for program in [each for each in self._programs if each.name == name]:
            self._programs.remove(program)
            self._release(program)
            program.process.wait()


class Reader(threading.Thread):
    """Polls both results, twice a transaction, whatever happens to its connection."""

    def __init__(self, url: str, level: IsolationLevel) -> None:
        super().__init__(daemon=True)
        self.url, self.level = url, level
        self.seen: list[tuple[tuple[str, str], tuple[str, str]]] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.02):
            with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5) as connection:
                connection.isolation_level = self.level
                while not self.stopping.wait(0.02):
                    with connection.transaction():
                        self.seen.append((self._look(connection), self._look(connection)))

    @staticmethod
    def _look(connection: psycopg.Connection[Any]) -> tuple[str, str]:
        row = connection.execute(STATE).fetchone()
        assert row is not None
        return row[0], row[1]


@dataclass(frozen=True)
class Import:
    """An import of the CRM, and its request."""

    webhook_id: str
    run_ids: list[UUID]
    dated: datetime


class Plant:
    """Servers, programs, orders and readers, until the block ends.

    Orders of an import are dated slightly in the future, and requested after that time, so that every `as_of` includes
    all of an import or nothing of it, and each published state is one of those that the readers may see.
    """

    def __init__(self, home: Path, seed: int = 1) -> None:
        self.home, self.chance = home, random.Random(seed)
        self.log = home / "programs.log"
        self.orders: list[tuple[Any, ...]] = []
        self.lines: list[tuple[Any, ...]] = []
        # The states that readers may see of the segments, and of the rankings; at first there are none.
        self.whole = {"(0,0,0)"}, {"(0,0)"}
        self.requested: list[Import] = []
        self._importing = threading.Lock()
        self._closing = ExitStack()
        self._stopping = threading.Event()

    # ---- up and down

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self.urls = opening.enter_context(open_servers(self.home / "servers", database=True, redis=True))
            self.wire = Wire(self.urls["REDIS_URL"])
            opening.callback(self.wire.close)
            self.env = {
                "DATABASE_URL": self.urls["DATABASE_URL"],
                "REDIS_URL": self.wire.url,
                "SMARTCRM_HOME": str(self.home),
                "TIMEZONE": "Europe/London",
                "RFM_SHARDS": str(SHARDS),
                "TOP_N": "1000",
                "WEBHOOK_SECRETS": SECRET,
                "API_TOKENS": "t" * 32,
                "FLOWER_PASSWORD": "p" * 32,
                "PORT": str(choose_port("PORT", 0)),
                "FLOWER_PORT": str(choose_port("FLOWER_PORT", 0)),
            }
            self.settings = Settings.from_env(self.env)
            opening.callback(engine(self.database_url).dispose)
            self.celery = Celery("faults", changes=self.settings.redis.celery_settings)
            opening.callback(self.celery.close)
            schema.migrate(self.database_url)
            self._open_for_business()
            self.group = opening.enter_context(Group())
            services.start(self.group, self.settings, {**os.environ, **self.env}, self.log)
            watching = threading.Thread(target=self._watch)
            watching.start()
            opening.callback(watching.join)
            opening.callback(self._stopping.set)
            self.ready()
            self._closing = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _watch(self) -> None:
        while not self._stopping.wait(0.1):
            self.group.watch()

    @property
    def database_url(self) -> str:
        """The database's URL, without the relay."""
        return self.urls["DATABASE_URL"]

    @property
    def redis(self) -> redis.Redis:
        """A client of Redis, without the relay."""
        return redis.Redis.from_url(self.urls["REDIS_URL"])

    def ready(self) -> None:
        """Wait until every part answers, so that a round begins with a whole system."""
        wait_for(self._webhook_is_ready, 60)
        wait_for(self._worker_answers, 60)
        wait_for(lambda: self.group.processes("beat"), 60)

    def _webhook_is_ready(self) -> bool:
        with suppress(requests.RequestException):
            reported = requests.get(f"http://127.0.0.1:{self.settings.port}/readyz", timeout=5).json()
            return bool(reported["status"] == "ready")
        return False

    def _worker_answers(self) -> bool:
        with suppress(Exception):
            return any(name.startswith("worker@") for each in self.celery.control.ping(timeout=0.3) for name in each)
        return False

    def also(self, name: str, *celery: str, **env: str) -> None:
        """Start one more Celery program beside the usual ones."""
        self.python(name, ["-m", "celery", "-A", "worker.app", *celery, "--loglevel", "INFO"], **env)

    def python(self, name: str, arguments: list[str], **env: str) -> None:
        """Start one more Python program in the system's environment."""
        self.group.start(name, [sys.executable, *arguments], {**os.environ, **self.env, **env}, self.log)

    # ---- processes

    def kill(self, name: str) -> None:
        """SIGKILL a whole program, its children with it."""
        for process in self.group.processes(name):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def pool(self, name: str = "worker") -> list[psutil.Process]:
        """The children that do a worker's tasks."""
        return self.group.processes(name)[1:]

    def owner(self, port: int) -> psutil.Process:
        """The process that has this local port."""
        for process in self.group.processes("worker"):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any(each.laddr and each.laddr.port == port for each in process.net_connections("tcp")):
                    return process
        raise LookupError(f"No process of the worker has port {port}")

    def postmaster(self) -> psutil.Process:
        """PostgreSQL's first process."""
        return psutil.Process(int((self.home / "servers/postgres/data/postmaster.pid").read_text().split()[0]))

    def redis_server(self) -> psutil.Process:
        """The Redis server's process."""
        reported: Any = self.redis.info("server")
        return psutil.Process(reported["process_id"])

    # ---- the CRM

    def _open_for_business(self) -> None:
        now = datetime.now(UTC)
        for number in range(HISTORY):
            self._order(now - timedelta(minutes=90 * (HISTORY - number)))
        frames = {"fact_transactions": self.transactions, "fact_transaction_items": self.items}
        names = {"item_id": range(1, ITEMS + 1), "menu_item_name": "Dish", "price": "1.00", "category": "All"}
        fill(self.database_url, {**frames, "dim_menu_items": pd.DataFrame(names)})
        self._note_state()

    def _order(self, at: datetime) -> None:
        number, chance = len(self.orders) + 1, self.chance
        customer = f"c{int(CUSTOMERS * chance.random() ** 2)}"
        self.orders.append((number, customer, f"{chance.randrange(500, 9000) / 100:.2f}", at))
        for item in chance.sample(range(1, ITEMS + 1), chance.randint(1, 3)):
            self.lines.append((len(self.lines) + 1, number, item, chance.randint(1, 2), "4.50"))

    def _note_state(self) -> None:
        customers = len({customer for _, customer, _, _ in self.orders})
        cents = sum(round(100 * float(amount)) for _, _, amount, _ in self.orders)
        self.whole[0].add(f"({customers},{len(self.orders)},{cents})")
        self.whole[1].add(f"({len(self.lines)},{sum(line[3] for line in self.lines)})")

    @property
    def transactions(self) -> pd.DataFrame:
        """All orders so far."""
        return builders.transactions(list(self.orders))

    @property
    def items(self) -> pd.DataFrame:
        """All lines so far."""
        columns = ["id", "transaction_id", "item_id", "quantity", "price"]
        return pd.DataFrame(self.lines, columns=columns, dtype=object)

    def imports(self, *kinds: str, mode: str = "full", orders: int = 10) -> Import:
        """Import orders and call the webhook, as the CRM does: repeatedly until it is accepted."""
        with self._importing:
            return self._import(kinds, mode, orders)

    def _import(self, kinds: Sequence[str], mode: str, orders: int) -> Import:
        first, first_line, dated = len(self.orders), len(self.lines), datetime.now(UTC) + AHEAD
        for _ in range(orders):
            self._order(dated)
        self._note_state()
        while True:
            with suppress(psycopg.OperationalError), psycopg.connect(self.database_url) as connection:
                connection.cursor().executemany(
                    "INSERT INTO fact_transactions VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", self.orders[first:]
                )
                connection.cursor().executemany(
                    "INSERT INTO fact_transaction_items VALUES (%s, %s, %s, %s, %s)", self.lines[first_line:]
                )
                connection.commit()
                break
        time.sleep(max(0.0, (dated - datetime.now(UTC)).total_seconds()))  # until the orders are of the past
        data = {"mode": mode, **({"kinds": list(kinds)} if kinds else {})}
        made = self._post(f"msg_{len(self.requested)}", json.dumps({"type": "import.completed", "data": data}), dated)
        self.requested.append(made)
        return made

    def _post(self, webhook_id: str, body: str, dated: datetime) -> Import:
        while True:
            now = datetime.now(UTC)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": webhook_id,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": Webhook(SECRET).sign(webhook_id, now, body),
            }
            with suppress(requests.RequestException):
                url = f"http://127.0.0.1:{self.settings.port}/webhooks/imports"
                answer = requests.post(url, body, headers=headers, timeout=5)
                if answer.status_code == 202:
                    return Import(webhook_id, [UUID(run["run_id"]) for run in answer.json()["runs"]], dated)
                assert answer.status_code == 503, answer.text
            time.sleep(0.1)  # as a CRM waits before it tries again

    # ---- what came of it

    def unfinished(self, run_ids: list[UUID]) -> int:
        """How many of these runs have not ended."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.database_url, connect_timeout=5) as connection:
            query = "SELECT count(*) FROM analytics_runs WHERE run_id = ANY(%s) AND status IN ('pending', 'running')"
            row = connection.execute(query, [run_ids]).fetchone()
            assert row is not None
            return int(row[0])
        return len(run_ids)

    def finished(self, made: list[Import], seconds: float = 180) -> None:
        """Wait until every requested run has ended."""
        run_ids = sorted({run_id for each in made for run_id in each.run_ids})
        wait_for(lambda: self.unfinished(run_ids) == 0, seconds)

    def check(self, made: list[Import]) -> None:
        """Compare requests with runs, and the published results with the oracle, row by row."""
        with transaction(self.database_url) as session:
            for each in made:
                for run_id in each.run_ids:
                    state = runs.get(session, run_id)
                    assert state is not None
                    assert state.run.status == "succeeded", state.run.error
                    assert state.run.as_of is not None
                    assert state.run.as_of >= each.dated, "a run that does not cover its import"
        delivered = set(read(self.database_url, "SELECT delivery_id FROM analytics_deliveries").delivery_id)
        assert {each.webhook_id for each in self.requested} <= delivered
        looks = {"rfm": self._check_rfm, "menu": self._check_menu, "recommendations": self._check_recommendations}
        for kind, look in looks.items():
            published = read(self.database_url, f"SELECT as_of FROM analytics_published WHERE kind = '{kind}'")
            if len(published):
                look(oracle.Rules(as_of=published.as_of[0], timezone="Europe/London", top_n=1000))

    def _check_rfm(self, rules: oracle.Rules) -> None:
        oracle.compare_rfm(rfm_segments(self.database_url), oracle.rfm(self.transactions, rules))

    def _check_menu(self, rules: oracle.Rules) -> None:
        expected = oracle.menu(self.transactions, self.items, rules)
        oracle.compare_menu(menu_recommendation(self.database_url), expected)

    def _check_recommendations(self, rules: oracle.Rules) -> None:
        compare(self.database_url, self.transactions, self.items, rules)

    def watched(self) -> Iterator[Reader]:
        """Readers in both isolation levels, that have begun."""
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ):
            reader = Reader(self.database_url, level)
            reader.start()
            yield reader

    def check_readers(self, readers: list[Reader]) -> None:
        """Every reading is of one whole state, and REPEATABLE READ repeats it."""
        for reader in readers:
            reader.stopping.set()
            reader.join(30)
            assert reader.seen, "the reader has read nothing"
            for first, second in reader.seen:
                for segments, ranks in (first, second):
                    assert segments in self.whole[0], f"segments of no whole state: {segments}"
                    assert ranks in self.whole[1], f"rankings of no whole state: {ranks}"
                assert first == second or reader.level == IsolationLevel.READ_COMMITTED

    def clear(self) -> None:
        """Drop retired generations, as the sweep does."""
        upkeep.clear(self.database_url)

    def events(self, since: int) -> list[Mapping[str, Any]]:
        """The programs' log events after this number of bytes."""
        found = []
        for line in self.log.read_bytes()[since:].splitlines():
            with suppress(ValueError):
                reported = json.loads(line)
                if isinstance(reported, dict):
                    found.append(reported)
        return found

    def stand_still(self, process: psutil.Process, seconds: float) -> None:
        """Let a process and its children stand still for a while."""
        still = [process, *process.children(recursive=True)]
        for each in still:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        for each in still:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)
