"""Logging in to the pages: sessions and their roles, forged posts, and what every page's headers say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import urlsplit

import psycopg
import pytest
import time_machine

from tests.webhook.pages.conftest import LOOKER, OWNER, Read, Visitor
from webhook.pages import links
from webhook.pages.sessions import inner_path

Visit = Callable[..., Visitor]


def test_a_visitor_logs_in_with_a_token_comes_to_the_page_and_logs_out(visit: Visit) -> None:
    visitor = visit()
    first = visitor.client.get("/operations?kind=rfm")
    assert (first.status_code, first.headers["Location"]) == (302, "/login?next=/operations?kind%3Drfm")
    form = visitor.get(first.headers["Location"])
    fields = {"form": form.value("form"), "next": form.value("next"), "token": OWNER}
    entered = visitor.client.post("/login", data=fields)
    assert (entered.status_code, entered.headers["Location"]) == (303, "/operations?kind=rfm")
    assert "Log out" in visitor.get("/operations").text
    visitor.post("/logout")
    assert visitor.client.get("/operations").status_code == 302


def test_a_session_cookie_is_for_the_server_alone_and_secure_over_https(visit: Visit) -> None:
    for scheme, secure in (("http", False), ("https", True)):
        answer = visit().client.get("/login", base_url=f"{scheme}://localhost")
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and ("Secure" in cookie) is secure


def test_a_wrong_token_is_refused_and_one_who_tries_many_has_to_wait(visit: Visit) -> None:
    visitor = visit()
    refused = visitor.post("/login", 401, token="not-a-token")
    assert "not one of the tokens" in refused.get_data(as_text=True)
    assert visitor.client.get("/operations").status_code == 302
    form = visitor.get("/login").value("form")
    statuses = [visitor.client.post("/login", data={"form": form, "token": "x"}).status_code for _ in range(70)]
    assert statuses.count(429) == 70 - 59 and statuses[-1] == 429


def test_one_who_may_look_sees_no_buttons_and_can_not_post(visit: Visit) -> None:
    visitor = visit().login(LOOKER)
    page = visitor.get("/operations")
    assert "Compute again" not in page.text
    refused = visitor.post("/operations/recompute", 403)
    assert "may only read" in refused.get_data(as_text=True)
    assert len(visitor.get("/operations").rows) == 0
    visitor.post("/logout")


def test_a_link_logs_in_to_look_until_it_is_a_week_old_or_the_tokens_change(visit: Visit) -> None:
    owner = visit().login()
    made = Read(owner.post("/operations/link", 200).get_data(as_text=True))
    (link,) = [attrs["value"] or "" for tag, attrs in made.tags if attrs.get("id") == "made-link"]
    guest = visit()
    followed = guest.client.get(urlsplit(link).path)
    assert (followed.status_code, followed.headers["Location"]) == (303, "/")
    assert "Compute again" not in guest.get("/operations").text
    guest.post("/operations/link", 403)
    signed = links.path(owner.settings, "/customers?segment=At+Risk")
    assert visit().client.get(signed).headers["Location"] == "/customers?segment=At+Risk"
    with time_machine.travel(datetime.now(UTC) + timedelta(days=8)):
        assert "no longer valid" in visit().get(signed, 401).text
    assert "no longer valid" in visit(API_TOKENS="another-token").get(signed, 401).text
    assert "no longer valid" in visit().get(f"{signed}x", 401).text
    assert owner.client.get(signed).status_code == 303 and "Compute again" in owner.get("/operations").text


def test_a_post_without_the_sessions_form_token_does_nothing(visit: Visit) -> None:
    visitor = visit().login()
    forged: list[dict[str, str]] = [{}, {"form": ""}, {"form": "forged"}]
    for path, data in product(("/operations/recompute", "/logout", "/login"), forged):
        answer = visitor.client.post(path, data=data)
        assert answer.status_code == 403 and "no longer valid" in answer.get_data(as_text=True)
    assert "Log out" in visitor.get("/operations").text


def test_another_tokens_list_ends_all_sessions(visit: Visit) -> None:
    visitor = visit().login()
    cookie = visitor.client.get_cookie("smartcrm")
    assert cookie is not None
    other = visit(API_TOKENS="another-token")
    other.client.set_cookie("smartcrm", cookie.value)
    assert other.client.get("/operations").status_code == 302
    same = visit()
    same.client.set_cookie("smartcrm", cookie.value)
    assert same.client.get("/operations").status_code == 200


def test_the_api_takes_no_session_and_the_pages_no_bearer(visit: Visit) -> None:
    visitor = visit().login()
    assert visitor.client.get("/runs").status_code == 401
    assert visit().client.get("/operations", headers={"Authorization": f"Bearer {OWNER}"}).status_code == 302


def test_pages_have_a_strict_policy_and_nothing_inline(visit: Visit) -> None:
    visitor = visit().login()
    for path in ("/login", "/operations", "/static/page.css", "/no-such-page"):
        answer = visitor.client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        read = Read(answer.get_data(as_text=True))
        assert not [attrs for _, attrs in read.tags if "style" in attrs or any(name.startswith("on") for name in attrs)]
        assert not [tag for tag, attrs in read.tags if tag == "style" or (tag == "script" and not attrs.get("src"))]


def test_static_files_are_kept_by_browsers_under_an_address_that_changes_with_them(visit: Visit) -> None:
    visitor = visit()
    (sheet,) = [attrs["href"] for tag, attrs in visitor.get("/login").tags if attrs.get("rel") == "stylesheet"]
    assert sheet and "?v=" in sheet
    answer = visitor.client.get(sheet)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "public, max-age=86400"
    assert answer.mimetype == "text/css"
    assert visitor.client.get("/static/../app.py").status_code == 404


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("/customers?segment=At+Risk", "/customers?segment=At+Risk"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("", "/"),
    ],
)
def test_the_login_leads_to_pages_of_ours_alone(wanted: str, shown: str) -> None:
    assert inner_path(wanted) == shown


def test_a_page_before_the_tables_are_migrated_says_so(visit: Visit) -> None:
    with psycopg.connect(visit().settings.database_url) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ()
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    visitor = visit()
    assert "the tables wait for “smartcrm migrate”" in visitor.get("/", status=503).text
    with psycopg.connect(visitor.settings.database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [version])
    visitor.login().get("/")
