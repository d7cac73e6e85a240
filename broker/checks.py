"""Checks of a Redis server: it accepts writes, and it is not a cluster of several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from broker.address import PREFIX
from errors import SettingsError

if TYPE_CHECKING:
    import redis

CLUSTER = (
    "REDIS_URL names a Redis Cluster with several nodes; Celery can't use one."
    " Name a server that is not a cluster, or sentinels: sentinel://host:26379/mymaster."
)


def refusal(client: redis.Redis) -> str | None:
    """The server's message if it refuses writes; None if it accepts them.

    Raises
    ------
    RedisError
        When it can't be reached.
    """
    from redis.exceptions import ResponseError

    try:
        client.set(f"{PREFIX}writable", 1, ex=60)
    except ResponseError as error:  # its subclasses too: read-only, out of memory, no permission
        return str(error)
    return None


def refuse_cluster(client: redis.Redis) -> None:
    """Refuse a Redis Cluster. A server that can't be reached, or does not say, is accepted.

    So is a server in cluster mode that holds all slots, as serverless offers have it.

    Raises
    ------
    SettingsError
        When the slots are on several nodes, or on none.
    """
    from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError

    try:
        if not cast(dict[str, Any], client.info("cluster")).get("cluster_enabled"):
            return
        client.set(f"{PREFIX}writable", 1, ex=60)
        slots = cast(list[Any], client.execute_command("CLUSTER SLOTS"))  # first, last, primary, replicas
    except (AskError, ClusterDownError, MovedError):
        raise SettingsError(CLUSTER) from None
    except (RedisError, OSError):
        return
    if len({tuple(primary[:2]) for _, _, primary, *_ in slots}) != 1:
        raise SettingsError(CLUSTER)
