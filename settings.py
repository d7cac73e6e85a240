"""One frozen, typed Settings, read from the environment and nothing else.

A wrong value is refused with the variable's name, what is wrong with it, and an example. Secrets that
are not set are generated once: see home.py.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg
from psycopg.conninfo import conninfo_to_dict

from analytics.segments import load_segments
from broker import address
from broker.address import Address
from errors import SettingsError
from home import home_from, kept_secrets
from kinds import KINDS
from postgres import PUBLIC, with_schema

MOST_SHARDS = 256  # each is a table of its own: one statement over two generations has to fit PostgreSQL's lock table
MOST_DAYS = 36_500  # a hundred years
# What may be given as a file instead, as NAME_FILE.
SECRETS = (
    *("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL", "WEBHOOK_SECRETS", "API_TOKENS", "FLOWER_PASSWORD"),
    "EVENT_SECRETS",
)
READ = ":read"
KEY = "whsec_ and 24 to 64 bytes in base64"
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the README's table for each variable's meaning."""

    database_url: str = field(repr=False)  # with our tables' schema in it
    source_database_url: str = field(repr=False)
    source_is_ours: bool  # whether both are one
    results_schema: str
    redis_url: str = field(repr=False)
    redis_ca_file: Path | None
    port: int
    flower_port: int
    timezone: str
    business_day_start: time
    top_n: int
    rfm_lookback_days: int
    menu_lookback_days: int
    rfm_shards: int | None
    concurrency: int
    segment_map: Path | None
    webhook_secrets: tuple[str, ...] = field(repr=False)
    api_tokens: tuple[str, ...] = field(repr=False)
    read_tokens: tuple[str, ...] = field(repr=False)  # given with :read, and here without it; they ask for nothing
    flower_password: str = field(repr=False)
    event_urls: tuple[str, ...]
    event_secrets: tuple[str, ...] = field(repr=False)
    kinds: tuple[str, ...]  # what is computed; empty: all
    home: Path

    @property
    def zone(self) -> ZoneInfo:
        """The restaurant's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def redis(self) -> Address:
        """Where Redis is, as Celery and redis-py need to hear it."""
        return address.parse(self.redis_url, str(self.redis_ca_file) if self.redis_ca_file else None)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read and check every variable.

        Raises
        ------
        SettingsError
            Naming the first variable that is wrong, its fault and an example.
        """
        env = from_files(os.environ if env is None else env)
        home = home_from(env)
        database_url = _read(env, "DATABASE_URL", None, _database_url, "postgresql://crm:secret@db:5432/crm")
        source_url = _read(
            env, "SOURCE_DATABASE_URL", database_url, _database_url, "postgresql://reader:secret@replica/crm"
        )
        schema = _read(env, "RESULTS_SCHEMA", PUBLIC, _schema, "smartcrm")
        ca_file = _read(env, "REDIS_CA_FILE", "", _optional(_readable_file), "/etc/ssl/redis-ca.pem")
        kept = kept_secrets(home, env)
        webhook_secrets = _read(env, "WEBHOOK_SECRETS", kept["WEBHOOK_SECRETS"], _webhook_secrets, KEY)
        tokens = _read(env, "API_TOKENS", kept["API_TOKENS"], _tokens, "a-token-of-8-characters another-one:read")
        event_urls = _read(env, "EVENT_URLS", "", _event_urls, "https://crm.example/hooks/analytics")
        return cls(
            database_url=database_url if schema == PUBLIC else with_schema(database_url, schema),
            source_database_url=source_url,
            source_is_ours=source_url == database_url,
            results_schema=schema,
            redis_url=_read(env, "REDIS_URL", None, _redis_url(ca_file), "redis://:secret@redis:6379/0"),
            redis_ca_file=ca_file,
            port=_read(env, "PORT", "8000", _whole(0, 65535), "8000"),
            flower_port=_read(env, "FLOWER_PORT", "5555", _whole(0, 65535), "5555"),
            timezone=_read(env, "TIMEZONE", "UTC", _timezone, "Europe/London"),
            business_day_start=_read(env, "BUSINESS_DAY_START", "04:00", _time_of_day, "04:00"),
            top_n=_read(env, "TOP_N", "10", _whole(1, 1_000_000), "10"),
            rfm_lookback_days=_read(env, "RFM_LOOKBACK_DAYS", "0", _whole(0, MOST_DAYS), "365"),
            menu_lookback_days=_read(env, "MENU_LOOKBACK_DAYS", "0", _whole(0, MOST_DAYS), "90"),
            rfm_shards=_read(env, "RFM_SHARDS", "", _optional(_whole(1, MOST_SHARDS)), "8"),
            concurrency=_read(env, "CONCURRENCY", str(_processors()), _whole(1, 1000), "4"),
            segment_map=_read(env, "SEGMENT_MAP", "", _optional(_segment_map), "/etc/smartcrm/segments.toml"),
            webhook_secrets=webhook_secrets,
            api_tokens=tuple(token for token in tokens if not token.endswith(READ)),
            read_tokens=tuple(token.removesuffix(READ) for token in tokens if token.endswith(READ)),
            flower_password=_read(env, "FLOWER_PASSWORD", kept["FLOWER_PASSWORD"], _password, "a-long-password"),
            event_urls=event_urls,
            event_secrets=_read(env, "EVENT_SECRETS", "", _event_secrets(event_urls, webhook_secrets), KEY),
            kinds=_read(env, "KINDS", "", _kinds, " ".join(KINDS)),
            home=home,
        )


def from_env_or_exit() -> Settings:
    """The environment's settings, for programs that others start: a wrong one is one sentence and exit status 1."""
    try:
        return Settings.from_env()
    except SettingsError as error:
        sys.exit(f"smartcrm: {error}")


def from_files(env: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with every secret that it names a file for, as `NAME_FILE`.

    Raises
    ------
    SettingsError
        When a file can't be read, or the value is given as well.
    """
    files = {name: path for name in SECRETS if (path := (f"{name}_FILE" in env and env[f"{name}_FILE"].strip()) or "")}
    if not files:
        return env
    found = {name: value for name, value in env.items() if name.removesuffix("_FILE") not in files}
    for name, path in files.items():
        if env.get(name, "").strip():
            raise SettingsError(f"{name} and {name}_FILE are both set; set one of them.")
        try:
            found[name] = Path(path).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(
                f"{name}_FILE is {path!r}, which user {os.geteuid()} can't read: {why}; an example that works:"
                f" /run/secrets/{name.lower()}."
            ) from None
        if not found[name]:
            raise SettingsError(f"{name}_FILE is {path!r}, which is empty.")
    return found


def _processors() -> int:
    """The processors that this process may use: those it is bound to, and a container's limit of time on them."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # another system, an older one, or no limit
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text().split())
        count = min(count, max(1, round(quota / period)))
    return count


def _read(env: Mapping[str, str], name: str, default: str | None, parse: Callable[[str], T], example: str) -> T:
    value = env.get(name, "").strip() or default
    if value is None:
        raise SettingsError(f"{name} is not set; set it to something like {example}.")
    try:
        return parse(value)
    except ValueError as error:
        raise SettingsError(f"{name} {error}; an example that works: {example}.") from None


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,9}", value, re.ASCII):
            raise ValueError(f"is {value!r}, which is not a whole number")
        if not low <= int(value) <= high:
            raise ValueError(f"is {value}, which is not between {low} and {high}")
        return int(value)

    return parse


def _optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda value: parse(value) if value else None


def _timezone(value: str) -> str:
    # What hosts add to the names that PostgreSQL knows, too: their own zone, and copies with and without leap seconds.
    local = value in ("localtime", "posixrules", "Factory") or value.startswith(("posix/", "right/"))
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        local = True
    if local:
        raise ValueError(f"is {value!r}, which is not a known time zone")
    return value


def _time_of_day(value: str) -> time:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value, re.ASCII):
        raise ValueError(f"is {value!r}, which is not a time of day as HH:MM")
    return time.fromisoformat(value)


def _database_url(value: str) -> str:
    # The value itself is never repeated: it may hold a password.
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("does not begin with postgresql://")
    try:
        conninfo_to_dict(value)
    except psycopg.ProgrammingError:
        raise ValueError(f"is not a URL that libpq understands; {address.ENCODE}") from None
    return value


def _schema(value: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value) or value.startswith("pg_") or value == "information_schema":
        raise ValueError(f"is {value!r}, which is not a schema's name of small letters, digits and underscores")
    return value


def _redis_url(ca_file: Path | None) -> Callable[[str], str]:
    def parse(value: str) -> str:
        address.parse(value, str(ca_file) if ca_file else None)
        return value

    return parse


def _readable_file(value: str) -> Path:
    path = Path(value).expanduser()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"is {value!r}, which is not a readable file")
    return path


def _segment_map(value: str) -> Path:
    path = _readable_file(value)
    load_segments(path)  # a map that is wrong is told now, by every program, and not by each run
    return path


def _tokens(value: str) -> tuple[str, ...]:
    tokens = tuple(value.split())
    if any(len(token.removesuffix(READ)) < 8 for token in tokens):
        raise ValueError("holds a value shorter than 8 characters")
    if not value.isascii() or not all(token.isprintable() for token in tokens):
        raise ValueError("holds characters beyond ASCII, which no Authorization header carries")
    names = [token.removesuffix(READ) for token in tokens]
    if len(set(names)) < len(names):
        raise ValueError("holds a token twice")
    return tokens


def _kinds(value: str) -> tuple[str, ...]:
    unknown = [name for name in value.split() if name not in KINDS]
    if unknown:
        raise ValueError(f"names {' and '.join(unknown)}, which is no kind of result")
    return tuple(value.split())


def _webhook_secrets(value: str) -> tuple[str, ...]:
    for secret in value.split():
        try:
            size = len(_key(secret))
        except (binascii.Error, ValueError):
            size = 0
        if not secret.startswith("whsec_") or not 16 <= size <= 128:
            raise ValueError("holds a secret that is not whsec_ followed by base64")
    return tuple(value.split())


def _key(secret: str) -> bytes:
    key = secret.removeprefix("whsec_")
    return base64.b64decode(key + "=" * (-len(key) % 4), validate=True)


def _event_secrets(urls: Sequence[str], others: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(value: str) -> tuple[str, ...]:
        found = _webhook_secrets(value)
        if found and len(found) != len(urls):
            raise ValueError(f"holds {len(found)} keys, and EVENT_URLS {len(urls)} URLs: give each URL one, in order")
        if {_key(secret) for secret in found} & {_key(secret) for secret in others}:
            raise ValueError("holds a key of WEBHOOK_SECRETS: its receiver could sign imports with it")
        return found

    return parse


def _password(value: str) -> str:
    if len(value) < 8 or not value.isprintable() or "," in value:
        raise ValueError("is shorter than 8 characters, or holds a comma or characters that can't be typed")
    if not value.isascii():
        raise ValueError("holds characters beyond ASCII, which browsers send in ways that Flower does not know")
    return value


def _event_urls(value: str) -> tuple[str, ...]:
    for url in value.split():
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("holds something that is not an http:// or https:// URL")
    return tuple(value.split())
