"""Counts kept in Redis, for all processes together: of what strangers can cause, so that they cause no row of ours.

A Redis that is away or starts empty loses counts and nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from broker.address import PREFIX

if TYPE_CHECKING:
    import redis

NAMES = ("refused_deliveries", "dropped_messages")


def add(client: redis.Redis, name: str, label: str) -> None:
    """Count one."""
    from redis.exceptions import RedisError

    with suppress(RedisError):
        client.hincrby(f"{PREFIX}{name}", label, 1)


def every(client: redis.Redis, name: str) -> dict[str, int]:
    """The counts by label; none while Redis is away."""
    from redis.exceptions import RedisError

    with suppress(RedisError):
        counts = cast(dict[bytes, bytes], client.hgetall(f"{PREFIX}{name}"))
        return {label.decode(): int(count) for label, count in counts.items()}
    return {}


def within(client: redis.Redis, name: str, most: int, seconds: int) -> bool:
    """Count one, and tell whether there were at most so many in a window of this length.

    Raises
    ------
    RedisError
        When Redis is away.
    """
    key = f"{PREFIX}{name}"
    with client.pipeline() as pipe:
        pipe.set(key, 0, ex=seconds, nx=True)
        pipe.incr(key)
        return int(pipe.execute()[1]) <= most
