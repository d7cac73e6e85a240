"""Settings: one frozen dataclass, read from environment variables only.

A wrong value is refused with the variable's name, what is wrong, and an example. Secrets that are not set are
generated once: see home.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import setting_values as values
import smtp_url
from broker import address
from broker.address import Address
from errors import SettingsError
from home import home_from, kept_secrets
from kinds import KINDS
from postgres import PUBLIC, with_schema
from smtp_url import MailServer

MOST_SHARDS = 256  # a table each; a statement on two generations locks all of them, and the lock table is limited
MENU_RANKS = ("orders", "quantity", "revenue", "margin")
MOST_DAYS = 36_500  # a hundred years
# Settings that may be given as a file instead, as NAME_FILE.
SECRETS = (
    *("DATABASE_URL", "SOURCE_DATABASE_URL", "REDIS_URL", "WEBHOOK_SECRETS", "API_TOKENS", "FLOWER_PASSWORD"),
    *("EVENT_SECRETS", "REPORT_SMTP_URL"),
)
KEY = "whsec_ and 24 to 64 bytes in base64"
T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """The parsed environment variables; the README's table explains each."""

    database_url: str = field(repr=False)  # includes our tables' schema: see postgres.with_schema
    source_database_url: str = field(repr=False)
    source_is_ours: bool  # whether both URLs are the same
    results_schema: str
    redis_url: str = field(repr=False)
    redis_ca_file: Path | None
    port: int
    flower_port: int
    timezone: str
    business_day_start: time
    top_n: int
    menu_rank_by: str
    menu_min_orders: int
    menu_exclude: tuple[int | str, ...]  # ids, and names of categories
    rfm_lookback_days: int
    menu_lookback_days: int
    recommendation_lookback_days: int
    recommendation_mode: str
    forecast_days: int
    rfm_shards: int | None
    concurrency: int
    segment_map: Path | None
    webhook_secrets: tuple[str, ...] = field(repr=False)
    api_tokens: tuple[str, ...] = field(repr=False)
    read_tokens: tuple[str, ...] = field(repr=False)  # those with :read, without that suffix; they only read
    flower_password: str = field(repr=False)
    event_urls: tuple[str, ...]
    event_secrets: tuple[str, ...] = field(repr=False)
    report_server: MailServer | None  # what sends the morning mail; None: it is not sent
    report_to: tuple[str, ...]
    kinds: tuple[str, ...]  # what is computed; empty: all, or those stored in the database (kinds/requests.py)
    retrain_schedule: str  # cron, in `timezone`
    locale: str  # of what people see
    currency: str | None  # ISO 4217; None: money without a sign
    mlflow_tracking_uri: str | None = field(repr=False)  # may hold a password
    clusters: int  # how many clusters of customers are wanted; 0: as many as are stable
    home: Path

    @property
    def zone(self) -> ZoneInfo:
        """The restaurant's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def redis(self) -> Address:
        """The parsed address of Redis."""
        return address.parse(self.redis_url, str(self.redis_ca_file) if self.redis_ca_file else None)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read and check every variable.

        Raises
        ------
        SettingsError
            Naming the first variable that is wrong, what is wrong, and an example.
        """
        env = from_files(os.environ if env is None else env)
        home = home_from(env)
        database_url = _read(env, "DATABASE_URL", None, values.database_url, "postgresql://crm:secret@db:5432/crm")
        source_url = _read(
            env, "SOURCE_DATABASE_URL", database_url, values.database_url, "postgresql://reader:secret@replica/crm"
        )
        schema = _read(env, "RESULTS_SCHEMA", PUBLIC, values.schema, "smartcrm")
        ca_file = _read(env, "REDIS_CA_FILE", "", values.optional(values.readable_file), "/etc/ssl/redis-ca.pem")
        kept = kept_secrets(home, env)
        webhook_secrets = _read(env, "WEBHOOK_SECRETS", kept["WEBHOOK_SECRETS"], values.webhook_secrets, KEY)
        tokens = _read(env, "API_TOKENS", kept["API_TOKENS"], values.tokens, "a-token-of-8-characters another-one:read")
        day_start = _read(env, "BUSINESS_DAY_START", "04:00", values.time_of_day, "04:00")
        event_urls = _read(env, "EVENT_URLS", "", values.event_urls, "https://crm.example/hooks/analytics")
        report_server = _read(
            env, "REPORT_SMTP_URL", "", smtp_url.parse, "smtp://reports%40cafe.example:secret@mail.example:587"
        )
        return cls(
            database_url=database_url if schema == PUBLIC else with_schema(database_url, schema),
            source_database_url=source_url,
            source_is_ours=source_url == database_url,
            results_schema=schema,
            redis_url=_read(env, "REDIS_URL", None, values.redis_url(ca_file), "redis://:secret@redis:6379/0"),
            redis_ca_file=ca_file,
            port=_read(env, "PORT", "8000", values.whole(0, 65535), "8000"),
            flower_port=_read(env, "FLOWER_PORT", "5555", values.whole(0, 65535), "5555"),
            timezone=_read(env, "TIMEZONE", "UTC", values.timezone, "Europe/London"),
            business_day_start=day_start,
            top_n=_read(env, "TOP_N", "10", values.whole(1, 1_000_000), "10"),
            menu_rank_by=_read(env, "MENU_RANK_BY", "orders", values.one_of(*MENU_RANKS), "margin"),
            menu_min_orders=_read(env, "MENU_MIN_ORDERS", "1", values.whole(1, 1_000_000), "5"),
            menu_exclude=_read(env, "MENU_EXCLUDE", "", values.menu_items, "17,category:Deposits"),
            rfm_lookback_days=_read(env, "RFM_LOOKBACK_DAYS", "0", values.whole(0, MOST_DAYS), "365"),
            menu_lookback_days=_read(env, "MENU_LOOKBACK_DAYS", "0", values.whole(0, MOST_DAYS), "90"),
            recommendation_lookback_days=_read(
                env, "RECOMMENDATION_LOOKBACK_DAYS", "0", values.whole(0, MOST_DAYS), "365"
            ),
            recommendation_mode=_read(
                env, "RECOMMENDATION_MODE", "auto", values.one_of("auto", "personal", "popular"), "auto"
            ),
            forecast_days=_read(env, "FORECAST_DAYS", "28", values.whole(1, 366), "28"),
            rfm_shards=_read(env, "RFM_SHARDS", "", values.optional(values.whole(1, MOST_SHARDS)), "8"),
            concurrency=_read(env, "CONCURRENCY", str(_processors()), values.whole(1, 1000), "4"),
            segment_map=_read(
                env, "SEGMENT_MAP", "", values.optional(values.segment_map), "/etc/smartcrm/segments.toml"
            ),
            webhook_secrets=webhook_secrets,
            api_tokens=tuple(token for token in tokens if not token.endswith(values.READ)),
            read_tokens=tuple(token.removesuffix(values.READ) for token in tokens if token.endswith(values.READ)),
            flower_password=_read(env, "FLOWER_PASSWORD", kept["FLOWER_PASSWORD"], values.password, "a-long-password"),
            event_urls=event_urls,
            event_secrets=_read(env, "EVENT_SECRETS", "", values.event_secrets(event_urls, webhook_secrets), KEY),
            report_server=report_server,
            report_to=_read(
                env, "REPORT_TO", "", smtp_url.recipients(report_server), "owner@cafe.example,chef@cafe.example"
            ),
            kinds=_read(env, "KINDS", "", values.kinds, " ".join(KINDS)),
            retrain_schedule=_read(
                env, "RETRAIN_SCHEDULE", f"{day_start.minute} {day_start.hour} * * 1", values.cron, "0 4 * * 1"
            ),
            mlflow_tracking_uri=_read(
                env, "MLFLOW_TRACKING_URI", "", values.optional(values.http_url), "http://mlflow.example:5000"
            ),
            locale=_read(env, "LOCALE", "en", values.language, "de_DE"),
            currency=_read(env, "CURRENCY", "", values.optional(values.currency), "EUR"),
            clusters=_read(env, "CLUSTERS", "auto", values.clusters, "auto"),
            home=home,
        )


def from_env_or_exit() -> Settings:
    """The settings, for the processes' entry points: a wrong value prints one sentence and exits with status 1."""
    try:
        return Settings.from_env()
    except SettingsError as error:
        sys.exit(f"smartcrm: {error}")


def from_files(env: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with each `NAME_FILE` of a secret replaced by `NAME` and the file's content.

    Raises
    ------
    SettingsError
        When a file can't be read or is empty, or both variables are set.
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
    """The number of processors that this process may use, by its CPU affinity and its container's CPU quota."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no cgroup v2, or no limit
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
