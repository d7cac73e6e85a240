"""Authorization by API token, and the limit on failed attempts per address."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import NoReturn

import redis
import structlog
from flask import current_app, request
from redis.exceptions import RedisError

from broker import counts
from broker.address import Address
from settings import Settings
from webhook.described import description
from webhook.problems import Problem

FAILURES = 60  # per address and minute

log = structlog.get_logger("webhook")


def authorize() -> None:
    """Check the request's API token; every known token is compared, in constant time.

    A token with `:read` may only read.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    role = role_of(token.strip()) if scheme.lower() == "bearer" else None
    if role is None:
        challenge = {"WWW-Authenticate": "Bearer"}
        refuse(Problem(401, "unauthorized", "Send Authorization: Bearer and one of API_TOKENS.", challenge))
    if role == "read" and not _reads():
        raise Problem(403, "read_only_token", "This token may only read; it can't request runs.")


def _reads() -> bool:
    """Whether the request changes nothing."""
    spec = description(current_app.view_functions[request.endpoint]) if request.endpoint else None
    return request.method in ("GET", "HEAD", "OPTIONS") or (spec is not None and spec.reads)


def role_of(token: str) -> str | None:
    """What the bearer of a token may do: `operate`, or only `read`; None for one that is not ours.

    Compared with all of them in constant time.
    """
    settings: Settings = current_app.config["SETTINGS"]
    offered = token.encode()
    full = [hmac.compare_digest(offered, known.encode()) for known in settings.api_tokens]
    reads = [hmac.compare_digest(offered, known.encode()) for known in settings.read_tokens]
    return "operate" if any(full) else "read" if any(reads) else None


def refuse(problem: Problem) -> NoReturn:
    """Raise the problem of a caller without valid credentials, or 429 after too many failures of its address.

    Failures are counted per address in Redis, for all processes together. Without Redis there is no limit.
    """
    settings: Settings = current_app.config["SETTINGS"]
    try:
        caller = f"failures:{request.remote_addr or 'unknown'}"
        within = counts.within(redis_client(settings.redis), caller, FAILURES, seconds=60)
    except (RedisError, OSError) as error:
        log.warning("failures not counted", reason=type(error).__name__)
        within = True
    if within:
        raise problem
    raise Problem(429, "too_many_failures", "Too many calls from this address failed; wait.", {"Retry-After": "60"})


@lru_cache(maxsize=4)
def redis_client(address: Address) -> redis.Redis:
    """This process's client for counters; its timeout is short, since answers wait for it."""
    return address.client(timeout=0.3)
