"""How often deliveries were refused, by `error_code`: counted in Redis, for all processes together.

Not in PostgreSQL, so that whoever can't show who they are makes us write nothing there. A Redis that is away or
starts empty loses counts and nothing else.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import cast

import redis
from redis.exceptions import RedisError

KEY = "smartcrm:refused_deliveries"


def add(url: str, error_code: str) -> None:
    """Count one."""
    with suppress(RedisError):
        _client(url).hincrby(KEY, error_code, 1)


def every(url: str) -> dict[str, int]:
    """The counts; none while Redis is away."""
    with suppress(RedisError):
        counts = cast(dict[bytes, bytes], _client(url).hgetall(KEY))
        return {code.decode(): int(count) for code, count in counts.items()}
    return {}


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=0.3, socket_timeout=0.3)
