"""Kombu's Redis transport, which drops what can't be read: such a message must not end a worker, or come back.

Everything that comes from Redis passes one of two places: where a raw item is read, and the callback that gets the
message made of it. Whatever fails there is logged, counted and acknowledged; faults of the connection pass.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

import structlog
from celery import current_app
from celery.worker import state
from kombu.message import Message
from kombu.transport import redis as kombu_redis
from redis.exceptions import RedisError

from broker import counts, message

TASK_QUEUES = ("control", "compute")

log = structlog.get_logger("broker")


class _Dropping:
    """What both channels share; a mixin, since Sentinel's is a class of its own."""

    client: Any
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (Empty, RedisError, OSError):
            raise
        except Exception as error:
            self._dropped("queue", error)  # it has left its queue already
            return True

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except (Empty, RedisError, OSError):
            raise
        except Exception as error:
            self._dropped("broadcast", error)
            return True

    def basic_consume(self, queue: str, *, callback: Callable[[Message], Any], **options: Any) -> Any:
        def guarded(received: Message) -> None:
            try:
                if queue in TASK_QUEUES:
                    message.check(received, current_app.tasks)
                callback(received)
            except (RedisError, OSError):
                raise
            except Exception as error:
                self._dropped(queue if queue in TASK_QUEUES else "broadcast", error)
                _let_go(received)

        return super().basic_consume(queue, callback=guarded, **options)  # type: ignore[misc]

    def _dropped(self, source: str, error: Exception) -> None:
        # The fault's text quotes the message, and so whatever somebody wrote into it: its type has to do.
        log.warning("message dropped", source=source, reason=type(error).__name__)
        with self.conn_or_acquire() as client:  # type: ignore[attr-defined]
            counts.add(client, "dropped_messages", source)


def _let_go(received: Message) -> None:
    """Acknowledge it, and free the place that Celery may have given it already."""
    if not received.acknowledged:
        received.ack()
    task_id = received.headers.get("id") if isinstance(received.headers, dict) else None
    request = state.requests.get(task_id) if isinstance(task_id, str) else None
    if request is not None and request.message is received:
        state.task_ready(request)


class Channel(_Dropping, kombu_redis.Channel):  # type: ignore[misc]
    """A channel to a Redis server."""


class SentinelChannel(_Dropping, kombu_redis.SentinelChannel):  # type: ignore[misc]
    """A channel to the server that the sentinels name."""


class Transport(kombu_redis.Transport):
    """redis:// and rediss://."""

    Channel = Channel


class SentinelTransport(kombu_redis.SentinelTransport):
    """sentinel://."""

    Channel = SentinelChannel
