"""Whether a Redis server can serve us: it takes writes, and it is no cluster of several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from broker.address import PREFIX
from errors import SettingsError

if TYPE_CHECKING:
    import redis

CLUSTER = (
    "REDIS_URL names a Redis Cluster, whose keys lie on several nodes; Celery can't use one."
    " Name a server that is no cluster, or sentinels: sentinel://host:26379/mymaster."
)


def refusal(client: redis.Redis) -> str | None:
    """Why the server refuses to write, in its own words; None where it writes.

    Raises
    ------
    RedisError
        When it can't be reached.
    """
    from redis.exceptions import ResponseError

    try:
        client.set(f"{PREFIX}writable", 1, ex=60)
    except ResponseError as error:  # also its kinds: read-only, out of memory, no permission
        return str(error)
    return None


def refuse_cluster(client: redis.Redis) -> None:
    """Refuse a Redis Cluster by name; one that can't be reached, or won't tell, is let pass.

    A server in cluster mode that holds every key by itself, as serverless ones show themselves, serves.

    Raises
    ------
    SettingsError
        When keys lie on several nodes, or on none yet.
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
