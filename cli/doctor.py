"""`smartcrm doctor`: checks of everything that a run needs, with how to fix it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from redis.exceptions import RedisError, ResponseError
from sqlalchemy.exc import SQLAlchemyError

from broker import checks as broker
from cli import checked_mail as mail
from cli import checked_models as models
from errors import SettingsError, SmartCRMError, UnavailableError
from kinds.dayparts import read_dayparts
from kinds.rfm.ties import REMEDY, heavy_tie
from kinds.trends import results as trends
from postgres import connect, scalar
from settings import Settings
from source import checks, reading
from source.checks import Finding, version
from source.menu import read_menu
from source.values import values
from store import schema
from store.database import snapshot
from store.published import published

REMEDIES = {
    "schema_outdated": "Run smartcrm migrate.",
    "schema_occupied": "Set RESULTS_SCHEMA=smartcrm and run smartcrm migrate.",
    "schema_elsewhere": "Set RESULTS_SCHEMA as said.",
}
SKEW = 2.0  # seconds
STRONG = 16  # characters of a token or password
VARIED = 6  # different characters; a random secret has more


def examine(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    """All findings; `env` says which variables are set, and so what is embedded or generated."""
    yield from _results(settings.database_url)
    yield from checks.orders(
        settings.source_database_url, separate=not settings.source_is_ours, timezone=settings.timezone
    )
    yield from values(settings.source_database_url)
    yield from _segments(settings)
    yield from _dayparts(settings)
    yield from _menu(settings)
    yield from _trends(settings)
    yield from models.examine(settings)
    yield from mail.examine(settings)
    yield from _redis(settings)
    yield from _secrets(settings)
    yield from _environment(settings, env)


def _results(url: str) -> Iterator[Finding]:
    """Our database: reachable, a supported version, its tables current, its clock like this host's."""
    try:
        schema.require_current(url)
    except UnavailableError as error:
        remedy = REMEDIES.get(error.code, "Check DATABASE_URL and the server.")
        yield Finding("fault", "results database", str(error), remedy)
        if error.code not in REMEDIES:
            return
    else:
        yield Finding("ok", "results database", "reachable, tables at their version")
    with closing(connect(url)) as connection:
        if scalar(connection, "SELECT current_setting('transaction_read_only')") == "on":
            remedy = "Point DATABASE_URL to the primary, or list all hosts in it with target_session_attrs=read-write."
            yield Finding("fault", "results database", "it is read-only now", remedy)
        yield version("results database", connection)
        skew = abs((scalar(connection, "SELECT clock_timestamp()") - datetime.now(UTC)).total_seconds())
        yield (
            Finding("ok", "clocks", "this host and the database agree")
            if skew <= SKEW
            else Finding("warning", "clocks", f"{skew:.0f} s apart", "Synchronize both with the same time server.")
        )


def _segments(settings: Settings) -> Iterator[Finding]:
    """Whether the published scores separate customers; no finding if they can't be read."""
    with suppress(SQLAlchemyError), snapshot(settings.database_url) as session:
        state = published(session, "rfm")
        remark = heavy_tie(session, state) if state else None
        if remark:
            yield Finding("warning", "segments", remark, REMEDY)


def _dayparts(settings: Settings) -> Iterator[Finding]:
    try:
        with reading.connect(settings.source_database_url) as crm:
            found = read_dayparts(crm)
    except SmartCRMError as error:
        yield Finding(
            "fault", "dayparts", str(error), "Fix dim_menu_daytimes, or empty it to use the default dayparts."
        )
    else:
        yield Finding("ok", "dayparts", f"{len(found)}, from {found[0].label!r} on")


def _menu(settings: Settings) -> Iterator[Finding]:
    """Whether the menu has what the settings rank it by and leave out; nothing where it can't be read."""
    with suppress(SmartCRMError, psycopg.Error), reading.connect(settings.source_database_url) as crm:
        menu = read_menu(crm)
        categories = {row.category.casefold() for row in menu.values() if row.category}
        unknown = [
            name for name in settings.menu_exclude if isinstance(name, str) and name.casefold() not in categories
        ]
        if unknown:
            found = f"no item has the category {' or '.join(map(repr, unknown))}"
            yield Finding("warning", "MENU_EXCLUDE", found, "Write it as dim_menu_items has it.")
        without = sum(row.cost is None for row in menu.values())
        if without and settings.menu_rank_by == "margin":
            found = f"{without:,} of {len(menu):,} items have no cost: they rank last"
            yield Finding("warning", "MENU_RANK_BY", found, "Fill dim_menu_items.cost.")


def _trends(settings: Settings) -> Iterator[Finding]:
    """Whether the published series are long enough to be forecast; nothing if none can be read."""
    with suppress(SQLAlchemyError), snapshot(settings.database_url) as session:
        state = published(session, "trends")
        if state is not None:
            days, needs = trends.complete_days(state), trends.needs(state, "days")
            if days < needs:
                found = f"{days} complete days; forecasts need {needs}"
                yield Finding("warning", "trends", found, "Load older orders if there are any; else wait.")
            else:
                yield Finding("ok", "trends", f"{days} complete days, {trends.closed(state)}")


def _redis(settings: Settings) -> Iterator[Finding]:
    found: dict[str, Any] = {}
    try:
        with settings.redis.client(timeout=2, decode_responses=True) as client:
            client.ping()
            yield Finding("ok", "Redis", "reachable")
            broker.refuse_cluster(client)
            refusal = broker.refusal(client)
            if refusal is not None:
                remedy = (
                    "It may be full (maxmemory), a replica, or its user (ACL) may not write: runs start late or never."
                )
                yield Finding("fault", "Redis", f"refuses writes: {refusal}", remedy)
            for name in ("appendonly", "maxmemory-policy", "maxmemory"):
                found |= cast(dict[str, Any], client.config_get(name))
    except SettingsError as error:
        yield Finding("fault", "Redis", "a cluster", str(error))
        return
    except ResponseError:
        yield Finding("warning", "Redis", "its settings can't be read", "Check that AOF is on and nothing is evicted.")
        return
    except (RedisError, OSError) as error:
        remedy = "Check REDIS_URL, REDIS_CA_FILE and the server."
        yield Finding("fault", "Redis", f"can't be reached: {type(error).__name__}", remedy)
        return
    if found.get("appendonly") != "yes":
        yield Finding(
            "warning", "Redis", "loses its messages on a restart: runs then wait for the sweep", "Set appendonly yes."
        )
    if found.get("maxmemory") not in ("0", None) and found.get("maxmemory-policy") != "noeviction":
        remedy = "Set maxmemory-policy noeviction."
        yield Finding("warning", "Redis", f"may evict messages ({found['maxmemory-policy']})", remedy)


def _secrets(settings: Settings) -> Iterator[Finding]:
    tokens = sum(_is_weak(token, STRONG) for token in (*settings.api_tokens, *settings.read_tokens))
    if tokens:
        found = f"{tokens} shorter than {STRONG} characters, or of few different ones"
        yield Finding("warning", "API_TOKENS", found, "openssl rand -hex 32")
    password = _is_weak(settings.flower_password, STRONG)
    if password:
        found = f"shorter than {STRONG} characters, or of few different ones"
        yield Finding("warning", "FLOWER_PASSWORD", found, "openssl rand -hex 24")
    keys = 0
    for name, secrets in (("WEBHOOK_SECRETS", settings.webhook_secrets), ("EVENT_SECRETS", settings.event_secrets)):
        weak = sum(_is_weak(_key(secret), 24) for secret in secrets)
        if weak:
            remedy = 'echo "whsec_$(openssl rand -base64 32)"'
            yield Finding("warning", name, f"{weak} of fewer than 24 bytes, or of few different ones", remedy)
        keys += weak
    if not (tokens or password or keys):
        yield Finding("ok", "secrets", "long enough")


def _is_weak(secret: str | bytes, length: int) -> bool:
    return len(secret) < length or len(set(secret)) < VARIED


def _key(secret: str) -> bytes:
    key = secret.removeprefix("whsec_")
    return base64.b64decode(key + "=" * (-len(key) % 4))


def _environment(settings: Settings, env: Mapping[str, str]) -> Iterator[Finding]:
    if not env.get("TIMEZONE", "").strip():
        remedy = "Set TIMEZONE to the restaurant's, such as Europe/London."
        yield Finding("warning", "TIMEZONE", "not set, so days and dayparts are UTC's", remedy)
    else:
        yield Finding("ok", "TIMEZONE", f"{settings.timezone}, business days from {settings.business_day_start:%H:%M}")
    for name, server in (("DATABASE_URL", "PostgreSQL"), ("REDIS_URL", "Redis")):
        if not env.get(name, "").strip():
            found = f"not set: an embedded {server} runs while commands need it"
            yield Finding("warning", name, found, f"In production, set {name} to a server of your own.")
