"""Parsers for the values of environment variables; each raises ValueError with what is wrong."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg
from cronsim import CronSim, CronSimError
from psycopg.conninfo import conninfo_to_dict

from analytics.segments import load_map, template
from broker import address
from kinds import KINDS

READ = ":read"
T = TypeVar("T")


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,9}", value, re.ASCII):
            raise ValueError(f"is {value!r}, which is not a whole number")
        if not low <= int(value) <= high:
            raise ValueError(f"is {value}, which is not between {low} and {high}")
        return int(value)

    return parse


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """A parser that returns None for an empty value."""
    return lambda value: parse(value) if value else None


def timezone(value: str) -> str:
    """A time zone that both PostgreSQL and Python know."""
    # Names that some hosts add: the host's own zone, and copies with and without leap seconds. PostgreSQL has none.
    local = value in ("localtime", "posixrules", "Factory") or value.startswith(("posix/", "right/"))
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        local = True
    if local:
        raise ValueError(f"is {value!r}, which is not a known time zone")
    return value


def time_of_day(value: str) -> time:
    """HH:MM."""
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value, re.ASCII):
        raise ValueError(f"is {value!r}, which is not a time of day as HH:MM")
    return time.fromisoformat(value)


def database_url(value: str) -> str:
    """A libpq URL of PostgreSQL."""
    # The message never quotes the value, which may hold a password.
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("does not begin with postgresql://")
    try:
        conninfo_to_dict(value)
    except psycopg.ProgrammingError:
        raise ValueError(f"is not a URL that libpq understands; {address.ENCODE}") from None
    return value


def schema(value: str) -> str:
    """A schema's name that needs no quotes."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value) or value.startswith("pg_") or value == "information_schema":
        raise ValueError(f"is {value!r}, which is not a schema name of lowercase letters, digits and underscores")
    return value


def redis_url(ca_file: Path | None) -> Callable[[str], str]:
    """A parser of Redis URLs, with the file of its certificate authorities."""

    def parse(value: str) -> str:
        address.parse(value, str(ca_file) if ca_file else None)
        return value

    return parse


def readable_file(value: str) -> Path:
    """A path that can be read."""
    path = Path(value).expanduser()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"is {value!r}, which is not a readable file")
    return path


def segment_map(value: str) -> Path:
    """A valid segment map: the name of a built-in one, or a path."""
    path = template(value) or readable_file(value)
    load_map(path)  # so that every program refuses a wrong map at its start, not each run
    return path


def one_of(*names: str) -> Callable[[str], str]:
    """A parser of one of these words, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"is {value!r}, which is none of {', '.join(names)}")
        return value.lower()

    return parse


def menu_items(value: str) -> tuple[int | str, ...]:
    r"""Item ids and names of categories, as `category:Name`, separated by commas; a comma in a name is `\,`."""
    found: list[int | str] = []
    for entry in re.split(r"(?<!\\),", value) if value else []:
        text = entry.replace("\\,", ",").strip()
        category = text.removeprefix("category:").strip()
        if category != text and category:
            found.append(category)
        elif re.fullmatch(r"[+-]?\d{1,19}", text, re.ASCII) and -(2**63) <= int(text) < 2**63:
            found.append(int(text))
        else:
            raise ValueError(f"has the entry {text!r}, which is neither an item's id nor category: and a name")
    return tuple(dict.fromkeys(found))


def tokens(value: str) -> tuple[str, ...]:
    """API tokens, separated by spaces."""
    tokens = tuple(value.split())
    if any(len(token.removesuffix(READ)) < 8 for token in tokens):
        raise ValueError("holds a value shorter than 8 characters")
    if not value.isascii() or not all(token.isprintable() for token in tokens):
        raise ValueError("holds characters beyond ASCII, which an Authorization header can't carry")
    names = [token.removesuffix(READ) for token in tokens]
    if len(set(names)) < len(names):
        raise ValueError("holds a token twice")
    return tokens


def cron(value: str) -> str:
    """Five fields of cron: minute, hour, day of the month, month, day of the week."""
    try:
        CronSim(value, datetime(2000, 1, 1))  # parses it
    except CronSimError as error:
        raise ValueError(f"is {value!r}, which is not a cron schedule of five fields: {str(error).lower()}") from None
    return value


def http_url(value: str) -> str:
    """An address of HTTP."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no address that begins with http:// or https://")
    return value


def language(value: str) -> str:
    """A language, with or without a country, that Babel knows."""
    from babel import Locale, UnknownLocaleError  # only if one is set

    try:
        return str(Locale.parse(value.replace("-", "_")))
    except (ValueError, UnknownLocaleError):
        raise ValueError(f"is {value!r}, which is not a known language") from None


def currency(value: str) -> str:
    """An ISO 4217 currency code."""
    from babel.numbers import list_currencies

    if value not in list_currencies():
        raise ValueError(f"is {value!r}, which is not an ISO 4217 currency code")
    return value


def clusters(value: str) -> int:
    """`auto`, which is 0, or a number of clusters."""
    return 0 if value == "auto" else whole(3, 12)(value)


def kinds(value: str) -> tuple[str, ...]:
    """Kinds of result, separated by spaces."""
    unknown = [name for name in value.split() if name not in KINDS]
    if unknown:
        raise ValueError(f"names {' and '.join(unknown)}, which is not a kind of result")
    return tuple(value.split())


def webhook_secrets(value: str) -> tuple[str, ...]:
    """Secrets of Standard Webhooks, separated by spaces."""
    for secret in value.split():
        try:
            size = len(key_of(secret))
        except (binascii.Error, ValueError):
            size = 0
        if not secret.startswith("whsec_") or not 16 <= size <= 128:
            raise ValueError("holds a secret that is not whsec_ followed by base64")
    return tuple(value.split())


def key_of(secret: str) -> bytes:
    """A secret's bytes."""
    key = secret.removeprefix("whsec_")
    return base64.b64decode(key + "=" * (-len(key) % 4), validate=True)


def event_secrets(urls: Sequence[str], others: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A parser of one secret per receiver, none of which may be among `others`."""

    def parse(value: str) -> tuple[str, ...]:
        found = webhook_secrets(value)
        if found and len(found) != len(urls):
            raise ValueError(f"holds {len(found)} keys, and EVENT_URLS {len(urls)} URLs: give each URL one, in order")
        if {key_of(secret) for secret in found} & {key_of(secret) for secret in others}:
            raise ValueError("holds a key of WEBHOOK_SECRETS: its receiver could sign imports with it")
        return found

    return parse


def password(value: str) -> str:
    """Flower's password."""
    if len(value) < 8 or not value.isprintable() or "," in value:
        raise ValueError("is shorter than 8 characters, or holds a comma or characters that can't be typed")
    if not value.isascii():
        raise ValueError("holds characters beyond ASCII, which browsers send in ways that Flower does not know")
    return value


def event_urls(value: str) -> tuple[str, ...]:
    """Receivers' URLs, separated by spaces."""
    for url in value.split():
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("holds something that is not an http:// or https:// URL")
    return tuple(value.split())
