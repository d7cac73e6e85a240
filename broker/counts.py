"""Counters in Redis, shared by all processes, for requests and messages that we refuse.

They are not in PostgreSQL, since anybody can cause them. While Redis is down, or after it starts empty, only these
counts are lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from broker.address import PREFIX

if TYPE_CHECKING:
    import redis

NAMES = ("refused_deliveries", "dropped_messages")


def add(client: redis.Redis, name: str, label: str) -> None:
    """Add one to a counter."""
    from redis.exceptions import RedisError

    with suppress(RedisError):
        client.hincrby(f"{PREFIX}{name}", label, 1)


def every(client: redis.Redis, name: str) -> dict[str, int]:
    """The counts by label; empty while Redis is down."""
    from redis.exceptions import RedisError

    with suppress(RedisError):
        counts = cast(dict[bytes, bytes], client.hgetall(f"{PREFIX}{name}"))
        return {label.decode(): int(count) for label, count in counts.items()}
    return {}


def within(client: redis.Redis, name: str, most: int, seconds: int) -> bool:
    """Add one, and return whether there were at most `most` in a fixed window of `seconds`.

    Raises
    ------
    RedisError
        When Redis can't be reached.
    """
    key = f"{PREFIX}{name}"
    with client.pipeline() as pipe:
        pipe.set(key, 0, ex=seconds, nx=True)
        pipe.incr(key)
        return int(pipe.execute()[1]) <= most
