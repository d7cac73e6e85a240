"""`/healthz` and `/readyz`: whether this process is alive, and whether it can serve."""

from __future__ import annotations

from typing import Literal

import psycopg
from flask import Blueprint, Response, current_app
from pydantic import BaseModel
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from broker import checks
from errors import SettingsError, SmartCRMError
from settings import Settings
from source import reading
from store.database import transaction
from store.schema import SchemaError, require_current
from webhook.described import answered, described

blueprint = Blueprint("health", __name__)


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """The state of PostgreSQL and Redis.

    `outdated`: the tables need `smartcrm migrate`; `read_only`: PostgreSQL accepts no writes now; `refuses_writes`:
    Redis is full, a replica, or lacks permissions; `cluster`: a Redis Cluster, which Celery can't use.
    """

    status: Literal["ready", "degraded", "unavailable"]
    database: Literal["ok", "down", "outdated", "read_only"]
    source: Literal["ok", "down"]
    redis: Literal["ok", "down", "refuses_writes", "cluster"]


@blueprint.get("/healthz")
@described(answer=Alive, caller=None)
def healthz() -> Response:
    """Alive: this process answers."""
    return answered(Alive(status="ok"))


@blueprint.get("/readyz")
@described(answer=Readiness, caller=None, problems=(503,), unready=Readiness)
def readyz() -> Response:
    """Able to serve: 503 while the results' database is down; `degraded` while only runs have to wait."""
    settings: Settings = current_app.config["SETTINGS"]
    parts = {
        "database": _database(settings),
        "source": _source(settings),
        "redis": _redis(settings),
    }
    if parts["database"] != "ok":
        return answered(Readiness.model_validate(parts | {"status": "unavailable"}), 503, {"Retry-After": "5"})
    status = "ready" if set(parts.values()) == {"ok"} else "degraded"
    return answered(Readiness.model_validate(parts | {"status": status}))


def _database(settings: Settings) -> str:
    try:
        require_current(settings.database_url)
        with transaction(settings.database_url) as session:
            if session.scalar(text("SELECT current_setting('transaction_read_only')")) == "on":
                return "read_only"
    except (SmartCRMError, SQLAlchemyError, psycopg.Error) as error:
        return "outdated" if isinstance(error, SchemaError) else "down"
    return "ok"


def _source(settings: Settings) -> str:
    try:
        with reading.connect(settings.source_database_url) as crm:
            crm.execute("SELECT 1")
    except (SmartCRMError, psycopg.Error):
        return "down"
    return "ok"


def _redis(settings: Settings) -> str:
    try:
        with settings.redis.client(timeout=1) as client:
            checks.refuse_cluster(client)
            return "ok" if checks.refusal(client) is None else "refuses_writes"
    except SettingsError:
        return "cluster"
    except (RedisError, OSError):
        return "down"
