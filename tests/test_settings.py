"""Settings: every wrong value is told by its variable's name, with an example, and no secret is repeated."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from errors import SettingsError
from settings import Settings

GOOD = {"DATABASE_URL": "postgresql://crm:pw-in-url@db/crm", "REDIS_URL": "redis://:pw-in-url@redis:6379/4"}


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("DATABASE_URL", "", "is not set"),
        ("DATABASE_URL", "mysql://root:pw-in-url@db/x", "postgresql://"),
        ("DATABASE_URL", "postgresql://crm:pw-in-url@db:port/x?nonsense=1", "libpq"),
        ("REDIS_URL", "http://redis", "redis://"),
        ("REDIS_URL", "redis://:pw-in-url@redis:6379/first", "database number"),
        ("PORT", "-1", "between 0 and 65535"),
        ("PORT", "80a", "not a whole number"),
        ("TIMEZONE", "Mars/Olympus", "not a known time zone"),
        ("TIMEZONE", "../etc/passwd", "not a known time zone"),
        ("BUSINESS_DAY_START", "4", "HH:MM"),
        ("BUSINESS_DAY_START", "24:00", "HH:MM"),
        ("TOP_N", "0", "between 1 and"),
        ("RFM_SHARDS", "-3", "between 1 and 256"),
        ("RFM_SHARDS", "257", "between 1 and 256"),
        ("RFM_SHARDS", "two", "not a whole number"),
        ("RFM_LOOKBACK_DAYS", "36501", "between 0 and 36500"),
        ("RFM_LOOKBACK_DAYS", "1.5", "not a whole number"),
        ("MENU_LOOKBACK_DAYS", "-1", "between 0 and"),
        ("MENU_LOOKBACK_DAYS", "36501", "between 0 and 36500"),
        ("SEGMENT_MAP", "/no/such/file.toml", "not a readable file"),
        ("WEBHOOK_SECRETS", "whsec_!!", "base64"),
        ("WEBHOOK_SECRETS", "pw-in-url-pw-in-url-pw-in-url-aa", "base64"),
        ("API_TOKENS", "short", "shorter than 8"),
        ("FLOWER_PASSWORD", "1234", "shorter than 8"),
        ("EVENT_URLS", "ftp://x/", "http://"),
        ("EVENT_SECRETS", "whsec_" + "A" * 32, "EVENT_URLS 0 URLs"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_an_example(tmp_path: Path, name: str, value: str, fault: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), name: value})
    said = str(refused.value)
    assert said.startswith(name) and fault in said and ("example" in said or "like" in said)
    assert "pw-in-url" not in said


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path)})
    assert (found.port, found.flower_port, found.timezone, found.top_n) == (8000, 5555, "UTC", 10)
    assert found.business_day_start.isoformat("minutes") == "04:00"
    assert (found.rfm_lookback_days, found.menu_lookback_days, found.rfm_shards) == (0, 0, None)
    assert found.source_database_url == found.database_url
    assert found.redis.celery_url == "redis://:pw-in-url@redis:6379/4"


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
    again = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
    assert first.webhook_secrets == again.webhook_secrets and first.api_tokens == again.api_tokens
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600


def test_the_settings_never_show_a_secret(tmp_path: Path) -> None:
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path)})
    shown = repr(found)
    for secret in ("pw-in-url", found.flower_password, *found.webhook_secrets, *found.api_tokens):
        assert secret not in shown
