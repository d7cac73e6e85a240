"""Outgoing events: signed, one per finished run and receiver, retried, and never delaying a run."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from settings import Settings
from store import event_keys, events
from store.database import transaction
from store.events import Message
from tests.builders import plain_orders
from tests.system import Workers, fill, make_settings, read, run_inline, wait_for

KEY, *SECRETS = ["whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (0, 1, 2)]


class Receiver:
    """A receiver: verifies with the public library, and answers with the configured statuses."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.keys = [KEY]  # each of them has to have signed
        self.answers: list[int] = []
        self.holds = threading.Event()
        self.holds.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for secret in receiver.keys:
                    Webhook(secret).verify(body, {name.lower(): value for name, value in self.headers.items()})
                receiver.holds.wait(20)
                receiver.ids.append(self.headers["webhook-id"])
                receiver.received.append(json.loads(body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hooks"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.holds.set()
        self.server.shutdown()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened


def state(url: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in read(url, "SELECT state, attempts FROM analytics_events ORDER BY 1, 2").to_numpy()]


def test_every_finished_run_is_reported_to_the_receiver_signed(workers: Workers, receiver: Receiver) -> None:
    fill(workers.settings.database_url, plain_orders())
    receiver.answers = [500, 301]  # the first two are tried again; a redirect is no delivery
    workers.start(beat=True, EVENT_URLS=receiver.url, EVENT_SECRETS=KEY)
    states = workers.finished(workers.request("rfm", "menu"))
    url = workers.settings.database_url
    wait_for(lambda: [row[0] for row in state(url)] == ["delivered", "delivered"], 40)
    assert len(receiver.received) == 4 and len(set(receiver.ids)) == 2
    reported = {event["data"]["run_id"]: event for event in receiver.received}
    assert set(reported) == {str(each.run.run_id) for each in states}
    for event in reported.values():
        assert event["type"] == "run.succeeded" and event["data"]["mode"] == "full"
        assert set(event["data"]) >= {"kind", "counts", "last_change_id"}
    assert receiver.ids[0].startswith("evt_")
    assert receiver.url not in (workers.folder / "w0@test.log").read_text()


def test_a_receiver_that_never_answers_is_in_no_runs_way(workers: Workers, receiver: Receiver) -> None:
    fill(workers.settings.database_url, plain_orders())
    receiver.holds.clear()
    workers.start(EVENT_URLS=receiver.url, EVENT_SECRETS=KEY)
    for _ in range(3):
        (found,) = workers.finished(workers.request("rfm"), 15)
        assert found.run.status == "succeeded"
    assert receiver.received == []
    receiver.holds.set()
    wait_for(lambda: len(receiver.received) >= 1)


@pytest.fixture
def settings(migrated_url: str, tmp_path: Path) -> Settings:
    fill(migrated_url, plain_orders())
    return make_settings(migrated_url, tmp_path, EVENT_URLS="http://one.test/a http://two.test/b")


def claim(session: Session) -> list[Message]:
    """The first event of each of the two receivers, where one is due."""
    claimed = [events.claim(session, url) for url in ("http://one.test/a", "http://two.test/b")]
    return [message for message in claimed if message is not None]


def make_due(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE analytics_events SET next_attempt_at = now() - interval '1 second'")


def test_waits_grow_over_a_day_and_then_it_has_failed(settings: Settings) -> None:
    run_inline(settings, "menu")
    url = settings.database_url
    waits = []
    for _ in range(len(events.WAITS) + 1):
        make_due(url)
        with transaction(url) as session:
            claimed = claim(session)
        assert len(claimed) == 2
        reported = read(
            url, "SELECT extract(epoch FROM min(next_attempt_at) - now())::float AS wait FROM analytics_events"
        )
        waits.append(float(reported["wait"][0]))
        with transaction(url) as session:
            for message in claimed:
                events.answered(session, message.event_id, None, "ConnectionError")
    assert all(0.79 * wait < reported < 1.21 * wait for wait, reported in zip(events.WAITS, waits, strict=False))
    assert list(events.WAITS) == sorted(events.WAITS) and 20 * 3600 < sum(events.WAITS) < 28 * 3600
    assert state(url) == [("failed", 11), ("failed", 11)]


def test_a_receiver_that_is_gone_gets_nothing_more(settings: Settings) -> None:
    run_inline(settings, "menu")
    run_inline(settings, "menu")
    with transaction(settings.database_url) as session:
        one = next(message for message in claim(session) if message.url.endswith("/a"))
        events.answered(session, one.event_id, 410, "410 Gone")
    reported = read(settings.database_url, "SELECT url, state FROM analytics_events")
    assert set(reported.itertuples(index=False, name=None)) == {
        ("http://one.test/a", "gone"),
        ("http://two.test/b", "waiting"),
    }


def test_a_claimed_event_is_not_claimed_again_until_its_wait_is_over(settings: Settings) -> None:
    run_inline(settings, "menu")
    with transaction(settings.database_url) as first, transaction(settings.database_url) as second:
        assert len(claim(first)) == 2 and claim(second) == []
    with transaction(settings.database_url) as session:
        assert claim(session) == [] and events.due(session) == []


def test_a_run_with_its_own_as_of_and_a_cancelled_one_tell_nothing_and_a_failed_one_does(settings: Settings) -> None:
    url = settings.database_url
    run_inline(settings, "menu", as_of=read(url, "SELECT now() AS n").n[0] - timedelta(days=1))
    assert state(url) == []
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE dim_menu_items")
    run_inline(settings, "menu")
    bodies = [json.loads(body) for body in read(url, "SELECT body FROM analytics_events").body]
    assert [body["type"] for body in bodies] == ["run.failed"] * 2
    assert bodies[0]["data"]["error_code"] == "source_table_missing"


def keys(settings: Settings, url: str) -> tuple[str, ...]:
    with transaction(settings.database_url) as session:
        return event_keys.signing(session, settings, url)


def test_each_receiver_has_a_key_of_its_own_that_belongs_to_its_url(settings: Settings, tmp_path: Path) -> None:
    one, two = (keys(settings, url) for url in settings.event_urls)
    assert len(one) == len(two) == 1 and one != two and not {*one, *two} & {*settings.webhook_secrets}
    other_way = make_settings(settings.database_url, tmp_path / "other", EVENT_URLS=" ".join(settings.event_urls[::-1]))
    assert [keys(other_way, url) for url in settings.event_urls] == [one, two]
    given = make_settings(
        settings.database_url, tmp_path, EVENT_URLS=" ".join(settings.event_urls), EVENT_SECRETS=" ".join(SECRETS)
    )
    assert [keys(given, url) for url in settings.event_urls] == [(SECRETS[0],), (SECRETS[1],)]
    with transaction(settings.database_url) as session:
        assert [key for _, key, _ in event_keys.every(session, settings)] == [*one, *two]


def test_receivers_of_before_get_both_signatures_for_thirty_days(settings: Settings, tmp_path: Path) -> None:
    url = settings.event_urls[0]
    (own,) = keys(settings, url)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "UPDATE analytics_event_keys SET both_until = now() + interval '1 minute' WHERE url = %s", [url]
        )
    assert keys(settings, url) == (own, *settings.webhook_secrets)
    given = {"EVENT_URLS": " ".join(settings.event_urls), "EVENT_SECRETS": " ".join(SECRETS)}
    assert keys(make_settings(settings.database_url, tmp_path, **given), url) == (SECRETS[0],)
    with psycopg.connect(settings.database_url) as connection:
        connection.execute("UPDATE analytics_event_keys SET both_until = now() - interval '1 minute'")
    assert keys(settings, url) == (own,)
