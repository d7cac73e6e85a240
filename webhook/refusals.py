"""Counts of refused deliveries by `error_code`, in Redis: unauthorized callers must not cause writes in PostgreSQL."""

from __future__ import annotations

from functools import lru_cache

import redis

from broker import counts
from broker.address import Address
from settings import Settings


def add(settings: Settings, error_code: str) -> None:
    """Count a refused delivery."""
    counts.add(_client(settings.redis), "refused_deliveries", error_code)


@lru_cache(maxsize=4)
def _client(address: Address) -> redis.Redis:
    return address.client(timeout=0.3)
