"""How often deliveries were refused, by `error_code`.

Not counted in PostgreSQL, so that whoever can't show who they are makes us write nothing there.
"""

from __future__ import annotations

from functools import lru_cache

import redis

from broker import counts
from broker.address import Address
from settings import Settings


def add(settings: Settings, error_code: str) -> None:
    """Count one."""
    counts.add(_client(settings.redis), "refused_deliveries", error_code)


@lru_cache(maxsize=4)
def _client(address: Address) -> redis.Redis:
    return address.client(timeout=0.3)
