"""How many messages wait in the queues."""

from __future__ import annotations

from redis.exceptions import RedisError

from broker.address import PREFIX
from settings import Settings

QUEUES = ("control", "compute")


def lengths(settings: Settings) -> dict[str, int]:
    """Each queue's number of messages; empty where Redis can't be reached."""
    try:
        with settings.redis.client(timeout=1) as client:
            return {queue: int(str(client.llen(f"{PREFIX}{queue}"))) for queue in QUEUES}
    except (RedisError, OSError):
        return {}
