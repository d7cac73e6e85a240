"""`smartcrm report`: one file with the pages' numbers, which asks nobody for anything."""

from __future__ import annotations

import re
import stat
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import Browser

from embedded import restaurant
from reports.file import built
from settings import Settings
from source.load import load
from tests.command import smartcrm
from tests.system import make_settings, run_inline
from tests.webhook.pages.test_browser import browser, watch

__all__ = ["browser"]


class Document(HTMLParser):
    """Every id, and every address that the file names."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href":
                self.targets.append(value or "")
            else:
                assert name not in ("src", "srcset", "action", "style") and not name.startswith("on"), (tag, name)


def check(html: str) -> Document:
    document = Document(html)
    assert len(set(document.ids)) == len(document.ids)
    assert document.targets and {target.removeprefix("#") for target in document.targets} <= set(document.ids)
    assert not document.tags & {"script", "link", "img", "iframe", "object", "form", "button"}
    assert not re.search(r"url\((?!#)|@import|https?://", html)
    return document


def test_without_results_each_page_says_what_to_do(migrated_url: str, tmp_path: Path) -> None:
    html, pages = built(make_settings(migrated_url, tmp_path, LOCALE="de"))
    document = check(html)
    assert pages >= 3 and document.ids.count(f"page-{pages - 1}") == 1
    assert 'class="empty"' in html and 'lang="de"' in html


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    done = smartcrm(tmp_path / "home", "report", str(tmp_path / "report.pdf"))
    assert done.returncode == 1 and done.stderr.endswith("report.pdf does not end in .html.\n")


@pytest.fixture
def published(migrated_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """The results of a generated restaurant; the kinds with models have none yet."""
    made = restaurant.generate(seed=20260101, until=datetime.now(ZoneInfo("Europe/London")))
    load(migrated_url, restaurant.write(made, tmp_path), timezone="Europe/London")
    settings = make_settings(migrated_url, tmp_path, redis_url, TIMEZONE="Europe/London", CURRENCY="EUR")
    for kind in ("rfm", "menu", "trends"):
        found = run_inline(settings, kind).run
        assert found.status == "succeeded", found.error
    return settings


@pytest.mark.long
def test_a_browser_without_a_server_shows_the_results_and_asks_for_nothing(
    published: Settings, tmp_path: Path, browser: Browser
) -> None:
    file = tmp_path / "report.html"
    env = {"DATABASE_URL": published.database_url, "TIMEZONE": "Europe/London", "CURRENCY": "EUR", "KINDS": ""}
    done = smartcrm(tmp_path / "home", "report", str(file), **env)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r".*report\.html has \d+ pages, [\d,]+ kB\.\n", done.stdout)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    check(file.read_text())
    opened = watch(browser, "", viewport={"width": 1280, "height": 900})
    opened.page.goto(file.as_uri())
    with psycopg.connect(published.database_url) as connection:
        (customers,) = connection.execute("SELECT count(*) FROM rfm_segments").fetchone() or (0,)
        (champions,) = connection.execute(
            "SELECT count(*) FROM rfm_segments WHERE segment = 'Champions'"
        ).fetchone() or (0,)
    assert opened.page.locator("[id$='customers-count']").inner_text() == f"{customers:,}"
    row = opened.page.locator("tr", has=opened.page.get_by_role("rowheader", name="Champions", exact=True)).first
    assert f"{champions:,}" in row.inner_text()
    opened.page.get_by_role("navigation").get_by_role("link", name="Menu", exact=True).click()
    assert opened.page.locator("section.page:target h1").inner_text() == "Menu"
    # Styles apply, and the policy had nothing to refuse.
    assert opened.page.locator("header").evaluate("element => getComputedStyle(element).display") == "flex"
    assert opened.complaints == []
    assert {url.partition("#")[0] for url in opened.requests} == {file.as_uri()}
