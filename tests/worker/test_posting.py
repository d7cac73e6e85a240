"""Receivers that are slow, endless or redirect: an attempt ends in time, and other receivers are not delayed."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from store.events import Message
from tests.builders import plain_orders
from tests.store.test_events import KEY, SECRETS, Receiver
from tests.system import Workers, fill, read, wait_for
from worker.posting import post

Hostile = Callable[[socket.socket], None]


def drip_head(caller: socket.socket) -> None:
    for number in itertools.count():
        caller.sendall(b"HTTP/1.1 200 OK\r\n"[number : number + 1] or b"x")
        time.sleep(0.2)


def drip_body(caller: socket.socket) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        caller.sendall(b"x")
        time.sleep(0.2)


def continue_for_ever(caller: socket.socket) -> None:
    while True:
        caller.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.001)


def endless_body(caller: socket.socket) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        caller.sendall(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")


def endless_head(caller: socket.socket) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        caller.sendall(b"X: " + b"x" * 1000 + b"\r\n")


def silent(caller: socket.socket) -> None:
    caller.recv(1)
    time.sleep(60)


def hangs_up(caller: socket.socket) -> None:
    caller.close()


def talks_nonsense(caller: socket.socket) -> None:
    caller.sendall(b"\x15\x03\x01\x00\x02\x02\x28 what?\r\n\r\n")


HOSTILE: list[Hostile] = [
    drip_head, drip_body, continue_for_ever, endless_body, endless_head, silent, hangs_up, talks_nonsense,
]  # fmt: skip


@contextmanager
def serving(behaviour: Hostile) -> Iterator[int]:
    """A listener that treats every caller so; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def treat(caller: socket.socket) -> None:
        with suppress(OSError), caller:
            behaviour(caller)
            # Closing with a part of the request unread would reset the connection, and the answer could be lost.
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(65_536):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=treat, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def attempt(url: str, seconds: float = 3) -> tuple[int | None, str]:
    return asyncio.run(post(Message(uuid.uuid4(), url, "{}"), [KEY], seconds))


@pytest.mark.parametrize("behaviour", HOSTILE, ids=lambda behaviour: behaviour.__name__)
def test_an_attempt_ends_in_time_whatever_the_receiver_does(behaviour: Hostile) -> None:
    with serving(behaviour) as port:
        began = time.monotonic()
        status, _ = attempt(f"http://127.0.0.1:{port}/")
        assert status == (200 if behaviour in (drip_body, endless_body) else None)
        assert time.monotonic() - began < 30
        assert attempt(f"https://127.0.0.1:{port}/")[0] is None  # no TLS there


def test_a_redirect_is_not_followed() -> None:
    called = threading.Event()

    def elsewhere(caller: socket.socket) -> None:
        called.set()

    with serving(elsewhere) as port:

        def redirect(caller: socket.socket) -> None:
            caller.recv(65_536)
            caller.sendall(b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n" % port)

        with serving(redirect) as first:
            assert attempt(f"http://127.0.0.1:{first}/")[0] == 307
    assert not called.is_set()


def test_a_good_receiver_beside_hostile_ones_gets_its_events_meanwhile(workers: Workers) -> None:
    fill(workers.settings.database_url, plain_orders())
    stalling = [drip_head, continue_for_ever, silent]
    with Receiver() as good, serving(drip_head) as one, serving(continue_for_ever) as two, serving(silent) as three:
        ports = dict(zip((one, two, three), stalling, strict=True))
        urls = [*(f"http://127.0.0.1:{port}/" for port in ports), good.url]
        others = [SECRETS[0][:-4] + text for text in ("AAA=", "BBA=", "CCA=")]
        workers.start(beat=True, EVENT_URLS=" ".join(urls), EVENT_SECRETS=" ".join([*others, KEY]))
        url = workers.settings.database_url
        for number in range(1, 4):
            assert workers.finished(workers.request("menu"))[0].run.status == "succeeded"
            wait_for(lambda number=number: len(good.received) == number)  # type: ignore[misc]
            if number == 1:  # it came before any attempt at the others was over, so it has waited for none of them
                over = read(url, "SELECT url FROM analytics_events WHERE last_answer IS NOT NULL").url
                assert set(over) <= {good.url}
            # The others' first attempts were under way all the while, or are again.
            stuck = read(url, f"SELECT attempts FROM analytics_events WHERE state = 'waiting' AND url <> '{good.url}'")
            assert len(stuck) == 3 * number and stuck.attempts.max() >= 1
        workers.finished(workers.request("menu"))
        wait_for(lambda: len(good.received) == 4)
