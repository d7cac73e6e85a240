"""Settings: every wrong value is refused with the variable's name and an example, and no secret is quoted."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from errors import SettingsError
from settings import Settings

GOOD = {"DATABASE_URL": "postgresql://crm:pw-in-url@db/crm", "REDIS_URL": "redis://:pw-in-url@redis:6379/4"}


@pytest.mark.parametrize(
    ("name", "value", "error"),
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
        ("MENU_RANK_BY", "profit", "none of orders, quantity, revenue, margin"),
        ("MENU_MIN_ORDERS", "0", "between 1 and"),
        ("MENU_EXCLUDE", "17,,18", "the entry ''"),
        ("MENU_EXCLUDE", "17,Deposits", "the entry 'Deposits', which is neither an item's id nor category:"),
        ("MENU_EXCLUDE", "category:", "the entry 'category:'"),
        ("MENU_EXCLUDE", "9223372036854775808", "neither an item's id"),
        ("WEBHOOK_SECRETS", "whsec_!!", "base64"),
        ("WEBHOOK_SECRETS", "pw-in-url-pw-in-url-pw-in-url-aa", "base64"),
        ("API_TOKENS", "short", "shorter than 8"),
        ("FLOWER_PASSWORD", "1234", "shorter than 8"),
        ("API_TOKENS", "pässword-pw-in-url", "ASCII"),
        ("API_TOKENS", "short:read", "shorter than 8"),
        ("API_TOKENS", "one-token-of-ours one-token-of-ours:read", "twice"),
        ("FLOWER_PASSWORD", "pässword-pw-in-url", "ASCII"),
        ("TIMEZONE", "localtime", "not a known time zone"),
        ("TIMEZONE", "posix/Europe/London", "not a known time zone"),
        ("TIMEZONE", "right/Europe/London", "not a known time zone"),
        ("TIMEZONE", "posixrules", "not a known time zone"),
        ("REDIS_URL", "redis://:pw-in-url[@redis:6379/0", "percent-encode"),
        ("DATABASE_URL", "postgresql://crm:pw-in-url@[db/crm", "percent-encode"),
        ("REDIS_CA_FILE", "/no/such/ca.pem", "not a readable file"),
        ("EVENT_URLS", "ftp://x/", "http://"),
        ("LOCALE", "klingon", "not a known language"),
        ("CURRENCY", "EURO", "ISO 4217"),
        ("EVENT_SECRETS", "whsec_" + "A" * 32, "EVENT_URLS 0 URLs"),
        ("REPORT_SMTP_URL", "http://user:pw-in-url@mail", "smtp:// or smtps://"),
        ("REPORT_SMTP_URL", "smtp://user:pw-in-url[@mail", "percent-encoded"),
        ("REPORT_SMTP_URL", "smtp://user@cafe.example:pw-in-url@mail/x", "percent-encoded"),
        ("REPORT_SMTP_URL", "smtp://user@mail", "a user without a password"),
        ("REPORT_SMTP_URL", "smtp://user:pw-in-url%C3%A4@mail", "ASCII"),
        ("REPORT_SMTP_URL", "smtp://mail:99999", "is not a URL"),
        ("REPORT_SMTP_URL", "smtp://mail?to=a@b.example", "other than from="),
        ("REPORT_TO", "owner@cafe.example", "REPORT_SMTP_URL is not"),
        ("REPORT_TO", "owner@cafe.example, chef", "'chef', which is not an e-mail address"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_an_example(tmp_path: Path, name: str, value: str, error: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), name: value})
    said = str(refused.value)
    assert said.startswith(name) and error in said and ("example" in said or "like" in said)
    assert "pw-in-url" not in said


def test_defaults_are_the_contracts(tmp_path: Path) -> None:
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path)})
    assert (found.port, found.flower_port, found.timezone, found.top_n) == (8000, 5555, "UTC", 10)
    assert found.business_day_start.isoformat("minutes") == "04:00"
    assert (found.rfm_lookback_days, found.menu_lookback_days, found.rfm_shards) == (0, 0, None)
    assert found.source_database_url == found.database_url
    assert found.redis.celery_url == "redis://:pw-in-url@redis:6379/4"


def test_what_the_menu_leaves_out_are_ids_and_categories_with_commas(tmp_path: Path) -> None:
    given = {"MENU_EXCLUDE": r" 17, category: Bags\, cups ,-4,category:Tips,17", "MENU_RANK_BY": "Margin"}
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), **given})
    assert found.menu_exclude == (17, "Bags, cups", -4, "Tips") and found.menu_rank_by == "margin"


@pytest.mark.parametrize("name", ["quintiles", "visits", "ticket", "young"])
def test_a_map_that_ships_is_named_without_a_path(tmp_path: Path, name: str) -> None:
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), "SEGMENT_MAP": name})
    assert found.segment_map is not None and found.segment_map.name == f"{name}.toml"


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


@pytest.mark.parametrize(
    "kept",
    [
        "{}",
        "[]",
        "null",
        '"text"',
        "7",
        "not json",
        "",
        '{"WEBHOOK_SECRETS": 7, "API_TOKENS": [], "FLOWER_PASSWORD": null}',
    ],
)
def test_kept_secrets_that_are_none_are_refused_in_one_sentence(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "secrets.json"
    path.touch(mode=0o600)
    path.write_text(kept)
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path)})
    assert str(refused.value).startswith("SMARTCRM_HOME: ") and "\n" not in str(refused.value)
    assert path.read_text() == kept


def test_a_home_or_secrets_that_others_may_write_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
    for path, mode, good in ((home, 0o777, 0o700), (home, 0o770, 0o755), (home / "secrets.json", 0o666, 0o600)):
        path.chmod(mode)
        with pytest.raises(SettingsError, match="open to other users"):
            Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
        path.chmod(good)
        Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_home_or_secrets_of_somebody_else_are_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
    for path in (home, home / "secrets.json"):
        os.chown(path, 12_345, 12_345)
        with pytest.raises(SettingsError, match="belongs to user 12345"):
            Settings.from_env({**GOOD, "SMARTCRM_HOME": str(home)})
        os.chown(path, 0, 0)


def test_every_secret_may_be_given_as_a_file(tmp_path: Path) -> None:
    secret = "whsec_" + "A" * 32
    given = {
        **GOOD,
        "WEBHOOK_SECRETS": secret,
        "API_TOKENS": "first-token second-token:read",
        "FLOWER_PASSWORD": "a-long-password",
        "SOURCE_DATABASE_URL": "postgresql://reader@db/crm",
        "EVENT_SECRETS": "whsec_" + "B" * 32,
        "REPORT_SMTP_URL": "smtps://reports%40cafe.example:p%3Aw%2F1@mail.example",
    }
    files = {}
    for name, value in given.items():
        path = tmp_path / name.lower()
        path.write_text(value + "\n")
        path.chmod(0o444)  # as Docker mounts them
        files[f"{name}_FILE"] = str(path)
    common = {
        "SMARTCRM_HOME": str(tmp_path / "home"),
        "EVENT_URLS": "https://crm.example/",
        "REPORT_TO": "owner@cafe.example",
    }
    found = Settings.from_env(common | files)
    assert found == Settings.from_env(common | given)
    assert found.api_tokens == ("first-token",) and found.read_tokens == ("second-token",)
    with pytest.raises(SettingsError, match="both set"):
        Settings.from_env(common | files | given)
    for path, error in ((tmp_path / "absent", "can't read"), (tmp_path, "can't read")):
        with pytest.raises(SettingsError, match=f"{error}"):
            Settings.from_env(common | files | {"API_TOKENS_FILE": str(path)})


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "sender"),
    [
        ("smtp://mail.example", "mail.example", 587, False, "owner@cafe.example"),
        ("smtps://reports%40cafe.example:p%3Aw%2F1@mail.example", "mail.example", 465, True, "reports@cafe.example"),
        ("smtp://login:secret@[::1]:25/?from=crm@cafe.example", "::1", 25, False, "crm@cafe.example"),
    ],
)
def test_the_mail_servers_url_names_server_login_and_sender(
    tmp_path: Path, url: str, host: str, port: int, tls: bool, sender: str
) -> None:
    given = {"REPORT_SMTP_URL": url, "REPORT_TO": " owner@cafe.example,,chef@cafe.example, owner@cafe.example"}
    found = Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), **given})
    assert found.report_to == ("owner@cafe.example", "chef@cafe.example")
    server = found.report_server
    assert server is not None and (server.host, server.port, server.tls) == (host, port, tls)
    assert server.sender_of(found.report_to) == sender
    assert "secret" not in repr(found) and "p:w/1" not in repr(found)
    with pytest.raises(SettingsError, match=r"^REPORT_TO names nobody"):
        Settings.from_env({**GOOD, "SMARTCRM_HOME": str(tmp_path), "REPORT_SMTP_URL": url})


def test_an_event_key_is_none_of_the_imports(tmp_path: Path) -> None:
    secret = "whsec_" + "A" * 43 + "="
    for same in (secret, secret.rstrip("=")):
        with pytest.raises(SettingsError, match=r"^EVENT_SECRETS holds a key of WEBHOOK_SECRETS"):
            Settings.from_env(
                {**GOOD, "SMARTCRM_HOME": str(tmp_path), "EVENT_URLS": "https://crm.example/"}
                | {"WEBHOOK_SECRETS": secret, "EVENT_SECRETS": same}
            )


def test_a_wrong_setting_is_one_sentence_of_a_worker_that_starts(tmp_path: Path) -> None:
    env = {**os.environ, **GOOD, "SMARTCRM_HOME": str(tmp_path), "TIMEZONE": "localtime"}
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("smartcrm: TIMEZONE is") and done.stderr.count("\n") == 1
