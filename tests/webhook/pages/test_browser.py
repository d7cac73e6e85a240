"""The pages in a real browser, on the real system with a generated restaurant: clicks, downloads, live progress, and
what axe-core and the content security policy have to say.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from embedded import restaurant
from source.load import load
from tests.installed import program
from tests.system import Webhook, Workers
from tests.webhook.pages.conftest import LOOKER, OWNER

pytestmark = pytest.mark.long

# Without what a browser would like to tell or fetch by itself.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
PAGES = ("/customers", "/customers?segment=At+Risk&sort=-monetary", "/menu", "/menu?daytime_id=4", "/operations")
TOKEN = {"Authorization": f"Bearer {OWNER}"}


@dataclass
class Watched:
    """A browser's page on a running system, with what it asked for and complained of."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def login(self, token: str = OWNER) -> None:
        self.page.goto(f"{self.url}/login")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Customers")


@pytest.fixture
def system(workers: Workers, migrated_url: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a running system with a published restaurant."""
    made = restaurant.generate(seed=20260101, until=datetime.now(ZoneInfo("Europe/London")))
    load(migrated_url, restaurant.write(made, tmp_path), timezone="Europe/London")
    tokens = f"{OWNER} {LOOKER}:read"
    workers.start(KINDS="rfm menu", API_TOKENS=tokens, CURRENCY="EUR")
    workers.finished(workers.request("rfm", "menu"))
    webhook = Webhook(workers.env, tmp_path / "webhook.log")
    webhook.start()
    yield webhook.url
    webhook.kill()


@pytest.fixture
def browser() -> Iterator[Browser]:
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def watch(browser: Browser, url: str, **options: Any) -> Watched:
    page = browser.new_context(**options).new_page()
    watched = Watched(page, url)
    page.on("request", lambda request: watched.requests.append(request.url))
    page.on("pageerror", lambda error: watched.complaints.append(str(error)))
    page.on("console", lambda said: watched.complaints.append(said.text) if said.type in ("error", "warning") else None)
    return watched


def test_an_owner_drills_down_downloads_and_computes_again(system: str, browser: Browser) -> None:
    owner = watch(browser, system)
    page = owner.page
    owner.login()
    summary = requests.get(f"{system}/rfm_segments/summary", headers=TOKEN, timeout=10).json()
    assert page.locator("#customers-count").inner_text() == f"{summary['customers']:,}"

    # From the picture to a segment's list, in another order, into a file, and to one customer.
    page.locator(".treemap a[href*='At+Risk'], .treemap a[href*='At%20Risk']").click()
    page.get_by_label("Order").select_option("-monetary")
    page.get_by_role("button", name="Show").click()
    query = "segment=At+Risk&sort=-monetary"
    rows = requests.get(f"{system}/rfm_segments?{query}&limit=1000", headers=TOKEN, timeout=10).json()["segments"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    text = Path(download.value.path()).read_text()
    exported = [row["mobile_id"] for row in csv.DictReader(io.StringIO(text))]
    assert exported == [row["mobile_id"] for row in rows] and len(exported) > 50
    shown = page.locator("#customers-table tbody th").all_inner_texts()
    assert shown == exported[:50]
    page.get_by_role("link", name="Next page").click()
    assert page.locator("#customers-table tbody th").all_inner_texts() == exported[50:100]
    page.go_back()
    page.get_by_role("link", name=shown[0], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shown[0])
    expect(page.get_by_role("heading", name="Why this segment")).to_be_visible()

    # Another daypart.
    page.get_by_role("link", name="Menu", exact=True).click()
    page.get_by_role("navigation", name="Dayparts").get_by_role("link", name="Lunch", exact=True).click()
    lunch = requests.get(f"{system}/menu_recommendations?daytime_id=4", headers=TOKEN, timeout=10).json()
    names = [item["menu_item_name"] for item in lunch["items"]]
    assert page.locator("#ranking tbody th").all_inner_texts() == names

    # A run that is seen to its end without loading the page again.
    page.get_by_role("link", name="Operations", exact=True).click()
    before = len(page.locator("#live tbody tr").all())
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#live tbody tr")).to_have_count(before + 2)
    loaded = [url for url in owner.requests if url.endswith("page.css") or "page.css?" in url]
    expect(page.locator("#live .succeeded")).to_have_count(before + 2, timeout=30_000)
    assert [url for url in owner.requests if "page.css" in url] == loaded
    expect(page.locator("#live")).not_to_have_attribute("data-live", "1000")

    assert owner.complaints == []
    assert not [url for url in owner.requests if not url.startswith(system)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_axe_finds_nothing(system: str, browser: Browser, width: int, scheme: Any) -> None:
    visitor = watch(browser, system, viewport={"width": width, "height": 844}, color_scheme=scheme)
    visitor.page.goto(f"{system}/login")
    found = {"/login": violations(visitor.page)}
    visitor.login()
    first = requests.get(f"{system}/rfm_segments?limit=1", headers=TOKEN, timeout=10).json()["segments"][0]["mobile_id"]
    for path in (*PAGES, f"/customers/{first}"):
        visitor.page.goto(f"{system}{path}")
        found[path] = violations(visitor.page)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert not {path: each for path, each in found.items() if each}
    assert visitor.complaints == []


def violations(page: Page) -> list[str]:
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in Axe().run(page).response["violations"]]


def test_the_keyboard_reaches_the_content_first_and_a_token_for_reading_finds_no_buttons(
    system: str, browser: Browser
) -> None:
    looker = watch(browser, system)
    looker.login(LOOKER)
    page = looker.page
    page.goto(f"{system}/operations")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.get_by_role("button", name="Start").count() == 0
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).not_to_be_visible()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert looker.complaints == []
