"""Malformed messages: a worker drops them, counts them, and continues; long, since the malformed messages are one
table.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from broker import counts
from broker.address import PREFIX
from tests.builders import plain_orders
from tests.conftest import empty_redis, fresh_database
from tests.system import Workers, fill, wait_for
from webhook.app import create_app

RUN_ID = "00000000-0000-4000-8000-000000000000"
BODY = [[RUN_ID], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
DEEP = 100_000


def envelope() -> dict[str, Any]:
    """A valid message, as kombu 5.7 writes it: `advance` of a run that does not exist."""
    return {
        "body": encoded(BODY),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": "smartcrm.advance",
            "id": "11111111-1111-4111-8111-111111111111",
            "eta": None,
            "expires": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": "11111111-1111-4111-8111-111111111111",
            "parent_id": None,
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "gen1@test",
            "ignore_result": True,
        },
        "properties": {
            "correlation_id": "11111111-1111-4111-8111-111111111111",
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "control"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "22222222-2222-4222-8222-222222222222",
        },
    }


def encoded(body: Any) -> str:
    return in_base64(json.dumps(body).encode())


def in_base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def with_header(name: str, value: Any) -> str:
    made = envelope()
    made["headers"][name] = value
    return json.dumps(made)


def without_header(name: str) -> str:
    made = envelope()
    del made["headers"][name]
    return json.dumps(made)


def with_property(name: str, value: Any) -> str:
    made = envelope()
    made["properties"][name] = value
    return json.dumps(made)


def with_member(name: str, value: Any) -> str:
    return json.dumps(envelope() | {name: value})


def with_body(body: Any) -> str:
    return with_member("body", encoded(body))


def with_embedded(name: str, value: Any) -> str:
    return with_body([[RUN_ID], {}, {**BODY[2], name: value}])  # type: ignore[dict-item]


POISON: dict[str, str | bytes] = {
    # The item itself
    "empty": b"",
    "no JSON": b"hello",
    "half of a message": json.dumps(envelope())[:200],
    "not UTF-8": b"\xff\xfe\x00",
    "a string": b'"hello"',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "an empty object": b"{}",
    "nested without end": b"[" * DEEP,
    "deeply nested headers": json.dumps(envelope()).replace('"lang": "py"', '"lang": ' + "[" * 900 + "]" * 900),
    # The envelope
    "no properties": with_member("properties", None),
    "properties in a list": with_member("properties", ["a"]),
    "no headers": with_member("headers", None),
    "headers in a list": with_member("headers", ["task"]),
    "headers of text": with_member("headers", "task"),
    "empty headers": with_member("headers", {}),
    "a tag that is a list": with_property("delivery_tag", ["a"]),
    "a tag that is an object": with_property("delivery_tag", {}),
    "no delivery info": with_property("delivery_info", None),
    "delivery info of text": with_property("delivery_info", "control"),
    "an unknown body encoding": with_property("body_encoding", "rot13"),
    "an encoding that is a list": with_property("body_encoding", ["base64"]),
    "pickle": with_member("content-type", "application/x-python-serialize"),
    "a content type that is a list": with_member("content-type", ["application/json"]),
    "an unknown charset": with_member("content-encoding", "klingon"),
    "bytes as text": with_member("content-encoding", "binary"),
    # The body
    "a body of text": with_body("hello"),
    "a body that is no base64": with_member("body", "!"),
    "no body": with_member("body", None),
    "an empty body": with_member("body", ""),
    "a body that is a number": with_member("body", 7),
    "a body that is null": with_body(None),
    "a body in two": with_body([[], {}]),
    "a body in four": with_body([[], {}, {}, {}]),
    "args of text": with_body(["hello", {}, {}]),
    "args in an object": with_body([{"a": 1}, {}, {}]),
    "kwargs in a list": with_body([[], ["a"], {}]),
    "embedded text": with_body([[RUN_ID], {}, "hello"]),
    "too few arguments": with_body([[], {}, {}]),
    "too many arguments": with_body([[RUN_ID, 1, 2, 3], {}, {}]),
    "unknown arguments": with_body([[RUN_ID], {"colour": "red"}, {}]),
    "arguments that are objects": with_body([[{"run_id": RUN_ID}], {}, {}]),
    "deeply nested arguments": with_member("body", in_base64(b"[" * DEEP)),
    "nested as deep as JSON goes": with_member(
        "body", base64.b64encode(b"[[" + b"[" * 900 + b"]" * 900 + b"],{},{}]").decode()
    ),
    "huge": with_body([["x" * 5_000_000], {}, {}]),
    "callbacks of text": with_embedded("callbacks", "hello"),
    "errbacks of numbers": with_embedded("errbacks", [1, 2]),
    "a chord of text": with_embedded("chord", "hello"),
    "a chain of text": with_embedded("chain", ["hello"]),
    # The headers
    "no id": without_header("id"),
    "no task": without_header("task"),
    "an unknown task": with_header("task", "smartcrm.no_such"),
    "a task that is a list": with_header("task", ["smartcrm.advance"]),
    "a task of Celery's own": with_header("task", "celery.backend_cleanup"),
    **{
        f"{name}: {value!r}"[:60]: with_header(name, value)
        for name, values in {
            "id": ([], {}, None, 7, "", "x" * 100_000),
            "timelimit": (["a", "b"], "ab", {}, [1], [1, 2, 3], [[], []], [1e300, 1e300], [-1, -1], 5),
            "eta": ("garbage", 5, [], {}, "9999-99-99", "2026-01-01T00:00:00+99:99"),
            "expires": ("garbage", [], {}, True),
            "retries": ("three", [], -1, 1.5),
            "group": ([], {}),
            "group_index": ("first", []),
            "argsrepr": ([], {}),
            "shadow": ([], {}, 5),
            "ignore_result": ("maybe", []),
            "stamped_headers": ("hello", [1], {}),
            "stamps": ("hello", [1]),
            "root_id": ([], {}),
            "origin": ({},),
            "colour": ({"deep": [1]},),
        }.items()
        for value in values
    },
}


@pytest.fixture(scope="module")
def workers(servers: dict[str, str], migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """One worker for all tests, which has to outlive each of them."""
    with (
        fresh_database(servers, migrated) as url,
        Workers(url, empty_redis(servers), tmp_path_factory.mktemp("worker")) as started,
    ):
        fill(url, plain_orders())
        started.start()
        yield started
        assert "Unrecoverable" not in log(started)


def log(workers: Workers) -> str:
    return (workers.folder / "w0@test.log").read_text()


def client(workers: Workers) -> redis.Redis:
    return workers.settings.redis.client(timeout=5)


def wait_until_drained(server: redis.Redis) -> None:
    """Wait until the queue is empty and no message is unacknowledged, from where it would be delivered again."""
    left: Callable[[], int] = lambda: sum(  # noqa: E731
        [int(server.llen(f"{PREFIX}{queue}")) for queue in ("control", "compute")]  # type: ignore[arg-type]
        + [int(server.hlen(f"{PREFIX}unacked")), int(server.zcard(f"{PREFIX}unacked_index"))]  # type: ignore[arg-type]
    )
    wait_for(lambda: left() == 0, 120)


def test_what_can_not_be_read_is_dropped_and_counted_and_runs_go_on(workers: Workers) -> None:
    server = client(workers)
    before, logged = sum(counts.every(server, "dropped_messages").values()), len(log(workers))
    for raw in POISON.values():
        server.lpush(f"{PREFIX}control", raw)
        server.lpush(f"{PREFIX}compute", raw)
    states = workers.finished(workers.request("rfm", "menu"))
    assert [state.run.status for state in states] == ["succeeded", "succeeded"]
    wait_until_drained(server)
    assert workers.processes[0].poll() is None
    assert sum(counts.every(server, "dropped_messages").values()) == before + 2 * len(POISON)
    token = {"Authorization": f"Bearer {workers.settings.api_tokens[0]}"}
    metrics = create_app(workers.settings).test_client().get("/metrics", headers=token).get_data(as_text=True)
    assert 'smartcrm_messages_dropped_total{source="control"}' in metrics
    said = log(workers)[logged:]
    assert said.count('"event": "message dropped"') == 2 * len(POISON)
    assert "Unrecoverable" not in said and "Connection to broker lost" not in said


@pytest.mark.parametrize("channel", ["celery.pidbox", "celeryev/worker.heartbeat", "celeryev/worker.online"])
def test_a_broadcast_that_can_not_be_read_is_dropped(workers: Workers, channel: str) -> None:
    server = client(workers)
    address = f"{PREFIX}/{workers.settings.redis.database}.{channel}"
    for raw in (
        b"hello",
        b'"hello"',
        b"[]",
        b"{}",
        b"[" * DEEP,
        b"\xff",
        *map(with_body, ("hello", None, {"method": 5})),
    ):
        # Celery subscribes again after a command that it could not execute; nobody hears what comes meanwhile.
        assert wait_for(partial(server.publish, address, raw)) == 1
    wait_for(lambda: workers.celery.control.ping(timeout=0.5))
    assert workers.processes[0].poll() is None
    assert "Unrecoverable" not in log(workers)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A valid message in which one or two parts are replaced by anything, or removed."""
    made: dict[str, Any] = copy.deepcopy(envelope())
    body: Any = copy.deepcopy(BODY)
    for _ in range(draw(st.integers(1, 2))):
        where = draw(st.sampled_from(["member", "headers", "properties", "body", "args", "embedded"]))
        value = draw(ANYTHING)
        if where == "args":
            body = [value if draw(st.booleans()) else [value], {}, {}]
        elif where == "embedded":
            body = [[RUN_ID], {}, {draw(st.sampled_from(list(BODY[2]))): value}]
        elif where == "body":
            body = value
        else:
            part = made if where == "member" else made.get(where)
            if not isinstance(part, dict) or not part:
                continue
            name = draw(st.sampled_from(sorted(part)))
            if draw(st.booleans()):
                part[name] = value
            else:
                del part[name]
    if isinstance(made.get("body"), str):
        made["body"] = encoded(body)
    return json.dumps(made)


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(batch=st.lists(spoilt(), min_size=3, max_size=3))
def _push(server: redis.Redis, batch: list[str]) -> None:
    server.lpush(f"{PREFIX}control", *batch)
    wait_until_drained(server)


def test_nothing_that_somebody_may_write_ends_a_worker(workers: Workers) -> None:
    _push(client(workers))
    assert workers.processes[0].poll() is None
    assert workers.finished(workers.request("menu"))[0].run.status == "succeeded"
    assert "Unrecoverable" not in log(workers)
