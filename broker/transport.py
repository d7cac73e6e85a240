"""Kombu's Redis transport, extended where it would end the worker: messages that can't be read, and lost connections.

Messages are checked in two places: where a raw item is read from Redis, and in the consumer's callback. A message that
fails there is logged, counted and acknowledged. Connection errors are raised as usual.
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
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from broker import counts, message

TASK_QUEUES = ("control", "compute")

log = structlog.get_logger("broker")


class _Dropping:
    """The mixin of both channels; kombu has one class for Redis and one for Sentinel."""

    client: Any
    connection: Any

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (Empty, RedisError, OSError):
            raise
        except Exception as error:
            self._dropped("queue", error)  # BRPOP has removed it already
            return True

    def _receive_one(self, client: Any) -> Any:
        try:
            return super()._receive_one(client)  # type: ignore[misc]
        except (Empty, RedisError, OSError):
            raise
        except Exception as error:
            self._dropped("broadcast", error)
            return True

    def close(self) -> None:
        """Close it; if its connection was lost, messages are not put back into their queues.

        Celery closes a lost connection twice, and kombu would fail at the second time. Redis keeps the messages until
        the visibility timeout, and before that sweeps send the parts of runs again.
        """
        if self._lost:
            self.do_restore = False
        super().close()  # type: ignore[misc]

    def _get_pool(self, **options: Any) -> Any:
        # As when a task that began before the loss acknowledges its message; Celery logs connection errors.
        if self._lost:
            raise RedisConnectionError("The connection of this channel was lost.")
        return super()._get_pool(**options)  # type: ignore[misc]

    @property
    def _lost(self) -> bool:
        return self.connection is None or self.connection.client is None

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
                _release(received)

        return super().basic_consume(queue, callback=guarded, **options)  # type: ignore[misc]

    def _dropped(self, source: str, error: Exception) -> None:
        # Only the error's type is logged: its text quotes the message, which anybody may have written.
        log.warning("message dropped", source=source, reason=type(error).__name__)
        with self.conn_or_acquire() as client:  # type: ignore[attr-defined]
            counts.add(client, "dropped_messages", source)


def _release(received: Message) -> None:
    """Acknowledge a message, and remove the request that Celery may have created for it."""
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
