"""Edits, commits, planning, reads, publishes and webhooks in any order: once all runs have ended, the results equal the
oracle's; long, since it is one state machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from psycopg import sql
from sqlalchemy import select

from errors import BusyError, UnavailableError
from kinds import upkeep
from kinds.recommendations import plan as recommendations_plan
from kinds.rfm import quantiles
from source import ranges, reading, touched
from store import inbox, runs
from store.database import engine, transaction
from store.models import Run
from store.schema import migrate
from tests.books import Restaurant
from tests.builders import items, transactions
from tests.kinds.recommendations.states import canonical, compare
from tests.kinds.trends.checks import check_counts
from tests.system import do_part, read, run_inline, state
from worker import steering

KINDS = st.integers(0, 1)  # the place of one of a machine's kinds
NEWEST = 4  # rows that every run reads again
CUSTOMERS = st.sampled_from(["anna", "bert", "cleo", "dora", "emil", "fred", "gina", None, ""])
AMOUNTS = st.sampled_from(["10.00", "25.50", "3", "80", "-4.00", "0", "NaN"])
DISHES = st.lists(st.integers(1, 4), max_size=3)
MINUTES_AGO = st.sampled_from([0, 1, 30, 300, 1440, 3 * 1440, 30 * 1440, -30, None])
ORDERS = st.tuples(CUSTOMERS, AMOUNTS, MINUTES_AGO, DISHES)
EDITS = st.sampled_from(["customer", "customer", "time", "amount", "delete", "lines", "lines to another"])
# Events within a step, before the source's statement of this number; usually none.
MEANWHILE = st.none() | st.tuples(
    st.integers(0, 25), st.integers(0, 2 * NEWEST), EDITS | st.sampled_from(["commit", "break off"]), ORDERS
)


class Commits:
    """Triggers an event between two statements that read the orders."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connect = reading.connect
        self._event: Callable[[], object] | None = None
        self._statements = 0
        monkeypatch.setattr(reading, "connect", self._watched)

    def arm(self, event: Callable[[], object] | None, statements: int) -> None:
        self._event, self._statements = event, statements

    def fire(self) -> None:
        event, self._event = self._event, None
        if event is not None:
            event()

    @contextmanager
    def _watched(self, url: str, **options: Any) -> Iterator[reading.Connection]:
        with self._connect(url, **options) as crm:
            execute = crm.execute

            def counted(*arguments: Any, **options: Any) -> Any:
                self._statements -= 1
                if self._statements < 0:
                    self.fire()
                return execute(*arguments, **options)

            crm.execute = counted  # type: ignore[method-assign]
            try:
                yield crm
            finally:
                del crm.execute  # the connection may be kept


class Interleavings(RuleBasedStateMachine):
    """A restaurant whose orders are edited while runs plan, read and publish.

    A later webhook names a changed row if it was not among the newest rows of every planned run. Everything is then
    computed again, which could hide other errors; so in most cases only rows change that need not be named.
    """

    kinds: ClassVar[tuple[str, str]] = ("rfm", "menu")
    modes: ClassVar[Counter[str]] = Counter()

    def __init__(self, urls: tuple[str, str], home: Path, commits: Commits, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.urls, self.home, self.commits, self.monkeypatch = urls, home, commits, monkeypatch
        self.sent: list[tuple[UUID, str, int]] = []  # task messages for parts
        self.open: list[tuple[int, Any]] = []  # orders with a number that are not committed
        self.changed: set[int] = set()
        self.unnamed: set[int] = set()  # changed rows that must be named
        self.only_newest = True  # only rows change that need not be named
        self.settled = 0  # the highest id that a planned run may not read again
        self.next = 100

    @initialize(
        elsewhere=st.booleans(),
        few=st.booleans(),
        only_newest=st.sampled_from([True, True, False]),
        lookback=st.sampled_from([0, 0, 1, 4]),
        orders=st.lists(ORDERS, min_size=10, max_size=14),
    )
    def begin(self, elsewhere: bool, few: bool, only_newest: bool, lookback: int, orders: list[Any]) -> None:
        results, other = self.urls
        self.only_newest = only_newest
        engine(results).dispose()
        with psycopg.connect(results) as connection:
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        migrate(results)
        self.monkeypatch.setattr(touched, "SMALL", 10_000 if few else -1)
        self.books = Restaurant(results, self.home, other if elsewhere else "")
        self.books.rules = replace(self.books.rules, rfm_lookback_days=lookback, menu_lookback_days=lookback)
        self.books.open()
        for dish in range(1, 5):
            self.books.name(dish, f"Dish {dish}", "Mains")
        for row in orders:
            self.number_an_order(row)
            self._commit(0)
        self._rest()

    # Events at the restaurant.

    @rule(row=ORDERS)
    def number_an_order(self, row: Any) -> None:
        self.next += 10
        self.open.append((self.next, row))

    @precondition(lambda self: self.open)
    @rule(place=st.integers(0, 5))
    def commit(self, place: int) -> None:
        self._commit(place)
        self._note()

    @rule(place=st.integers(0, 2 * NEWEST), edit=EDITS, row=ORDERS)
    def edit(self, place: int, edit: str, row: Any) -> None:
        self._edit(place, edit, row)
        self._note()

    @rule(dish=st.integers(1, 4), name=st.sampled_from(["Soup", "Soup of the day", None]))
    def rename_a_dish(self, dish: int, name: str | None) -> None:
        self.books.name(dish, name, "Soups")

    @rule(minutes=st.sampled_from([1, 30, 60, 1440]))
    def time_passes(self, minutes: int) -> None:
        self.books.now += timedelta(minutes=minutes)

    @precondition(lambda self: not any(self._working(kind) for kind in ("rfm", "recommendations", "trends")))
    @rule(customer=st.sampled_from(["anna", "bert", "cleo"]))
    def forget(self, customer: str) -> None:
        if self.only_newest and any(row[1] == customer and row[0] <= self.settled for row in self.books.sold.values()):
            return
        self.changed |= set(self.books.remove(lambda _, whose: whose == customer))
        self._note()
        upkeep.clear(self.books.url)  # staging of ended runs, as after every run
        with transaction(self.books.url) as session:
            upkeep.forget(session, customer)
        assert_forgotten(self.books.url, customer)

    def _commit(self, place: int) -> None:
        number, (customer, amount, minutes, dishes) = self.open.pop(place % len(self.open))
        if self.only_newest and number <= self.settled:
            self.next += 10
            number = self.next
        self.books.sell(number, customer, amount, self._at(minutes), *dishes)
        self.changed.add(number)

    def _edit(self, place: int, edit: str, row: Any) -> None:
        least = self.settled if self.only_newest else 0
        numbers = sorted((number for number in self.books.sold if number > least), reverse=True)
        if not numbers:
            return
        number, other = numbers[place % len(numbers)], numbers[(place + 1) % len(numbers)]
        _, old_customer, old_amount, old_at = self.books.sold[number]
        customer, amount, minutes, dishes = row
        match edit:
            case "customer":
                self.books.sell(number, customer, old_amount, old_at)
            case "time":
                self.books.sell(number, old_customer, old_amount, self._at(minutes))
            case "amount":
                self.books.sell(number, old_customer, amount, old_at)
            case "delete":
                self.books.remove(lambda each, _: each == number)
            case "lines":
                self.books.sell(number, old_customer, old_amount, old_at, *dishes)
            case "lines to another":
                self.books.move_lines(number, other)
                self.changed.add(other)
        self.changed.add(number)

    def _at(self, minutes: int | None) -> Any:
        return None if minutes is None else self.books.now - timedelta(minutes=minutes)

    def _note(self) -> None:
        """Changed rows that a planned run may not read again must be named."""
        self.unnamed |= {number for number in self.changed if number <= self.settled}
        self.changed.clear()

    def _settle(self) -> None:
        """A run that is planned now may read only the newest rows again."""
        newest = sorted(self.books.sold, reverse=True)[NEWEST:]
        self.settled = max([self.settled, *newest[:1]])

    # Requests for runs.

    @rule(names=st.sampled_from(["what has to be", "the lowest", "the newest", "none", "none"]))
    def webhook(self, names: str) -> None:
        match names:
            case "what has to be":
                self._webhook(sorted(self.unnamed))
            case "the lowest":
                self._webhook(sorted(self.unnamed)[:1])
            case "the newest":
                self._webhook([number for number in sorted(self.books.sold) if number > self.settled])
            case _:
                self._webhook([])

    @rule(kind=KINDS, why=st.sampled_from(["asked for", "of the past"]))
    def something_makes_a_run_full(self, kind: int, why: str) -> None:
        """One rule for both causes, since full runs can hide errors."""
        as_of = self.books.now - timedelta(days=2) if why == "of the past" else None
        with suppress(BusyError), transaction(self.books.url) as session:
            inbox.request(session, [self.kinds[kind]], as_of=as_of)

    def _webhook(self, names: list[int]) -> None:
        ids = (names[0], names[-1]) if names else None
        with transaction(self.books.url) as session:
            inbox.request(session, self.kinds, mode="incremental", named_ids=ids)
        self.unnamed -= set(names)

    # Events at workers.

    @rule(kind=KINDS, meanwhile=MEANWHILE)
    def advance(self, kind: int, meanwhile: Any) -> None:
        self._advance(self.kinds[kind], meanwhile)

    def _advance(self, kind: str, meanwhile: Any) -> None:
        run = self._next(kind)
        if run is None:
            return
        if run.plan is None:
            with psycopg.connect(self.books.url) as connection:
                connection.execute(
                    "UPDATE analytics_runs SET as_of = %s WHERE run_id = %s AND NOT as_of_given",
                    [self.books.now, run.run_id],
                )
        with self._meanwhile(meanwhile, planning=run.plan is None):
            parts = steering.advance(self.books.settings, run.run_id)
            self.sent += [(run.run_id, *part) for part in parts]
        found = state(self.books.settings, run.run_id).run
        if found.status == "succeeded":
            assert found.plan is not None
            self.modes[f"{kind} {found.mode} {found.plan.get('recompute_all', '')}"] += 1
        assert found.status != "failed", found.error

    @precondition(lambda self: self.sent)
    @rule(place=st.integers(0, 5), again=st.booleans(), meanwhile=MEANWHILE)
    def do_a_part(self, place: int, again: bool, meanwhile: Any) -> None:
        message = self.sent[place % len(self.sent)]
        with self._meanwhile(meanwhile):
            do_part(self.books.settings, *message)
            if not again:
                self.sent.remove(message)

    @rule(kind=KINDS, how=st.sampled_from(["fail", "cancel"]))
    def end_a_run(self, kind: int, how: str) -> None:
        run = self._next(self.kinds[kind])
        if run is not None:
            if how == "fail":
                steering.fail(self.books.settings, run.run_id, "test", "It failed.")
            else:
                with transaction(self.books.url) as session:
                    runs.cancel(session, run.run_id)

    @rule()
    def lose_what_is_not_logged(self) -> None:
        """Empty the unlogged tables, as a crash of PostgreSQL does."""
        unlogged = read(self.books.url, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u'")
        with psycopg.connect(self.books.url) as connection:
            for name in unlogged.relname:
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(name)))

    def _working(self, kind: str) -> Run | None:
        with transaction(self.books.url) as session:
            return session.scalars(select(Run).where(Run.kind == kind, Run.status == "running")).first()

    def _next(self, kind: str) -> Run | None:
        """The running run of this kind, or else the next one."""
        with transaction(self.books.url) as session:
            waiting = select(Run).where(Run.kind == kind, Run.status == "pending")
            in_order = waiting.order_by(Run.as_of_given, Run.generation)
            return self._working(kind) or session.scalars(in_order.limit(1)).first()

    @contextmanager
    def _meanwhile(self, meanwhile: Any, *, planning: bool = False) -> Iterator[None]:
        """Something is committed during a step or just after it, or the step fails."""
        statement, place, event, row = meanwhile or (0, 0, "", None)

        def happen() -> None:
            if event == "break off":
                raise UnavailableError("The orders can't be reached.")
            if event == "commit" and self.open:
                self._commit(place)
            elif event:
                self._edit(place, event, row)

        if planning:
            self._settle()
        self.commits.arm(happen, statement)
        with suppress(UnavailableError):
            yield
        with suppress(UnavailableError):
            self.commits.fire()
        if planning:
            self._settle()
        self._note()

    # Invariants.

    @rule(commit=st.booleans())
    def rest(self, commit: bool) -> None:
        self._rest(commit=commit)

    @rule()
    def rest_without_another_commit(self) -> None:
        self._rest(commit=False)

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self._rest()

    def _rest(self, *, commit: bool = True) -> None:
        """Name all rows that must be named, end all runs, and check the results."""
        while commit and self.open:
            self._commit(0)
        self._note()
        past = True
        while past:  # a run that waited may have been of the past, and behind the one that the webhook joined
            self._webhook(sorted(self.unnamed))
            past = any([self._finish(kind) for kind in self.kinds])
        self._check()

    def _check(self) -> None:
        self.books.check()
        self.books.check_names()

    def _finish(self, kind: str) -> bool:
        """Finish all runs of a kind; returns whether the last one had an `as_of` in the past."""
        last, steps = None, 0
        while run := self._next(kind):
            last, steps = run, steps + 1
            assert steps < 50, f"{kind} does not come to its end"
            self._advance(kind, None)
            for message in list(self.sent):
                do_part(self.books.settings, *message)
                self.sent.remove(message)
        return last is not None and last.as_of_given


class OfOtherKinds(Interleavings):
    """The same for two kinds of results without RFM's, so that no series is of a segment."""

    kinds = ("recommendations", "trends")
    modes: ClassVar[Counter[str]] = Counter()

    def _check(self) -> None:
        rules = replace(self.books.rules, as_of=self.books.now, rfm_lookback_days=0, menu_lookback_days=0)
        sold, lines = transactions(list(self.books.sold.values())), items(list(self.books.lines.values()))
        compare(self.books.url, sold, lines, rules)
        categories = {dish: category for dish, (_, category) in self.books.menu.items()}
        check_counts(self.books.url, sold, lines, rules, categories)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "books"):
            once = canonical(self.books.settings)
            run_inline(self.books.settings, "recommendations", at=self.books.now)
            assert once == canonical(self.books.settings)


Machine = Callable[[type[Interleavings]], Interleavings]


def assert_forgotten(url: str, customer: str) -> None:
    """Check that none of our tables has a row with the customer's id."""
    tables = read(
        url,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND relname ~ '^(analytics|menu|recommendation|rfm|segment)_'",
    ).relname
    with psycopg.connect(url) as connection:
        for table in tables:
            query = sql.SQL("SELECT FROM {} AS row WHERE row::text LIKE {}")
            found = connection.execute(query.format(sql.Identifier(table), sql.Literal(f"%{customer}%")))
            assert found.rowcount == 0, table


@pytest.fixture
def machine(migrated_url: str, other_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Machines that share two databases: ours, and one for the orders."""
    monkeypatch.setattr(touched, "OVERLAP_ROWS", NEWEST)
    monkeypatch.setattr(quantiles, "NEAR", 1)
    monkeypatch.setattr(ranges, "default_ranges", lambda rows, indexed: 3)
    monkeypatch.setattr(recommendations_plan, "default_ranges", lambda rows, indexed: 3)
    commits = Commits(monkeypatch)
    for kind in (Interleavings, OfOtherKinds):
        monkeypatch.setattr(kind, "modes", Counter())
    return lambda of: of((migrated_url, other_database_url), tmp_path, commits, monkeypatch)


def walk(machine: Machine, of: type[Interleavings], examples: int, steps: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: machine(of),
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_at_rest_the_results_are_those_of_all_orders_whatever_came_between(
    machine: Machine,
) -> None:
    walk(machine, Interleavings, 2, 15)


@pytest.mark.long
def test_at_rest_the_results_are_those_of_all_orders_after_many_more_orders_of_events(
    machine: Machine,
) -> None:
    walk(machine, Interleavings, 25, 50)
    assert {f"{kind} incremental {everything}" for kind in Interleavings.kinds for everything in (False, True)} <= set(
        Interleavings.modes
    )


@pytest.mark.long
def test_at_rest_so_are_profiles_and_series(machine: Machine) -> None:
    walk(machine, OfOtherKinds, 8, 30)
    assert {f"{kind} incremental False" for kind in OfOtherKinds.kinds} <= set(OfOtherKinds.modes)
