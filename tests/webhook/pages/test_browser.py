"""The pages in a real browser, on the real system with a generated restaurant: clicks, downloads, live progress, and
what axe-core and the content security policy have to say; long, since all cases share the running system.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
import redis
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from embedded import restaurant
from source.load import load
from tests.conftest import fresh_database
from tests.installed import program
from tests.system import Webhook, Workers, run_inline
from tests.webhook.pages.conftest import LOOKER, OWNER

pytestmark = pytest.mark.long

# Without what a browser would like to tell or fetch by itself.
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
PAGES = (
    *("/", "/?days=364", "/customers", "/customers?segment=At+Risk&sort=-monetary&days=7", "/customers?overdue=true"),
    *("/menu", "/menu?daytime_id=4", "/menu/matrix", "/menu/items/101", "/views/clusters"),
    *("/views/cohorts", "/views/cohorts?show=revenue", "/rules", "/operations"),
)
KINDS = ("rfm", "menu", "recommendations", "predictions", "clusters", "trends")
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
        expect(self.page.get_by_role("heading", level=1)).to_have_text("Morning")


def follow(link: Locator) -> None:
    """Click, and wait for the page that it leads to; until then the one before can be read."""
    with link.page.expect_navigation():
        link.click()


@pytest.fixture(scope="module")
def system(servers: dict[str, str], migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running system with a published restaurant, whose segments are also known of a week ago."""
    folder = tmp_path_factory.mktemp("system")
    redis_url = f"{servers['REDIS_URL'].rsplit('/', 1)[0]}/14"
    for number in (14, 15):
        redis.Redis.from_url(f"{redis_url.rsplit('/', 1)[0]}/{number}").flushdb()
    made = restaurant.generate(seed=20260101, until=datetime.now(ZoneInfo("Europe/London")))
    made.menu["cost"] = (made.menu["price"] * (0.2 + 0.4 * (made.menu["item_id"] % 3) / 2)).round(2)
    tokens = {"API_TOKENS": f"{OWNER} {LOOKER}:read", "CURRENCY": "EUR", "KINDS": " ".join(KINDS)}
    with fresh_database(servers, migrated) as url, Workers(url, redis_url, folder) as workers:
        load(url, restaurant.write(made, folder), timezone="Europe/London")
        run_inline(workers.settings, "rfm", at=datetime.now(UTC) - timedelta(days=7))
        workers.start(**tokens)
        assert all(each.run.status == "succeeded" for each in workers.finished(workers.request(*KINDS), 120))
        webhook = Webhook(workers.env, folder / "webhook.log")
        webhook.start()
        yield webhook.url
        webhook.kill()


def api(system: str, path: str) -> Any:
    answer = requests.get(f"{system}{path}", headers=TOKEN, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


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
    follow(page.get_by_role("link", name="Customers", exact=True))
    summary = api(system, "/rfm_segments/summary")
    assert page.locator("#customers-count").inner_text() == f"{summary['customers']:,}"

    # From the picture to a segment's list, in another order, into a file, and to one customer.
    follow(page.locator(".treemap a[href*='At+Risk'], .treemap a[href*='At%20Risk']"))
    page.get_by_label("Order").select_option("-monetary")
    follow(page.get_by_role("button", name="Show"))
    query = "segment=At+Risk&sort=-monetary"
    rows = api(system, f"/rfm_segments?{query}&limit=1000")["segments"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    text = Path(download.value.path()).read_text()
    exported = [row["mobile_id"] for row in csv.DictReader(io.StringIO(text))]
    assert exported == [row["mobile_id"] for row in rows] and len(exported) > 50
    shown = page.locator("#customers-table tbody th").all_inner_texts()
    assert shown == exported[:50]
    follow(page.get_by_role("link", name="Next page"))
    assert page.locator("#customers-table tbody th").all_inner_texts() == exported[50:100]
    page.go_back()
    page.get_by_role("link", name=shown[0], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shown[0])
    expect(page.get_by_role("heading", name="Why this segment")).to_be_visible()

    # Another daypart.
    follow(page.get_by_role("link", name="Menu", exact=True))
    follow(page.get_by_role("navigation", name="Dayparts").get_by_role("link", name="Lunch", exact=True))
    lunch = api(system, "/menu_recommendations?daytime_id=4")
    names = [item["menu_item_name"] for item in lunch["items"]]
    assert page.locator("#ranking tbody th").all_inner_texts() == names

    # A run that is seen to its end without loading the page again.
    follow(page.get_by_role("link", name="Operations", exact=True))
    page.get_by_label("Result").first.select_option("rfm")
    before = len(page.locator("#live tbody tr").all())
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#live tbody tr")).to_have_count(before + 1)
    loaded = [url for url in owner.requests if url.endswith("page.css") or "page.css?" in url]
    expect(page.locator("#live .succeeded")).to_have_count(before + 1, timeout=30_000)
    assert [url for url in owner.requests if "page.css" in url] == loaded
    expect(page.locator("#live")).not_to_have_attribute("data-live", "1000")

    assert owner.complaints == []
    assert not [url for url in owner.requests if not url.startswith(system)]


def test_the_morning_has_the_apis_numbers_and_keys_change_the_period(system: str, browser: Browser) -> None:
    owner = watch(browser, system)
    page = owner.page
    owner.login()
    week = api(system, "/forecasts?metric=orders")["forecasts"][:7]
    last = date.fromisoformat(week[0]["business_date"]) - timedelta(days=1)
    for metric, pattern in (("orders", "{:,.0f}"), ("revenue", "€{:,.2f}"), ("new_customers", "{:,.0f}")):
        compared = api(system, f"/series/compare?metric={metric}&date={last}")
        card = page.locator(f"[data-metric={metric}]")
        assert card.locator(".figure").inner_text() == pattern.format(compared["today"]["value"])
        assert f"({pattern.format(compared['last_week']['value'])})" in card.inner_text()
    shown = page.locator("#forecast tbody td:nth-child(2)").all_inner_texts()
    assert shown == [f"{day['forecast']:,.0f}" for day in week]
    days = page.locator("#days tbody tr")
    assert days.count() == 28
    page.keyboard.press("q")
    expect(days).to_have_count(91)
    assert page.url.endswith("/?days=91")
    for number in range(page.locator(".moved a").count()):
        page.goto(f"{system}/")
        page.locator(".moved a").nth(number).click()
        expect(page.get_by_role("heading", level=1)).not_to_have_text("This did not work")
    assert owner.complaints == []
    assert not [url for url in owner.requests if not url.startswith(system)]


def test_an_owners_questions_are_answered_with_one_or_two_clicks(system: str, browser: Browser) -> None:
    """The clicks of docs/dashboard.md."""
    owner = watch(browser, system)
    page = owner.page
    owner.login()

    # Who stopped coming?
    follow(page.locator(".moved a", has_text="overdue"))
    assert page.locator("#customers-table tbody tr").count() > 0 and page.url.endswith("#list")
    follow(page.get_by_role("link", name="Revenue", exact=True))
    overdue = api(system, "/rfm_segments?segment=Champions&overdue=true&sort=-monetary")["segments"]
    assert page.locator("#customers-table tbody th").all_inner_texts() == [row["mobile_id"] for row in overdue[:50]]
    # What should I push tonight?
    follow(page.get_by_role("link", name="Menu", exact=True))
    now = api(system, "/menu_recommendations?at=now")
    assert page.locator("#ranking tbody th").all_inner_texts() == [item["menu_item_name"] for item in now["items"]]
    follow(page.locator("#ranking tbody th a").first)
    assert page.locator("#together-table tbody tr").count() > 0
    # Did last week's promotion move anybody?
    follow(page.get_by_role("link", name="Customers", exact=True))
    assert {text[0] for text in page.locator("#segments-table tfoot td:nth-child(7)").all_inner_texts()} <= set("+−0")
    follow(page.get_by_role("navigation", name="Period").get_by_role("link", name="Week", exact=True))
    assert page.locator("#flows tbody tr").count() > 0
    # What do I drop from the menu?
    follow(page.get_by_role("link", name="Menu", exact=True))
    follow(page.get_by_role("link", name="the menu matrix"))
    assert page.locator("[data-kind=dog] tbody tr").count() > 0
    # Are today's numbers normal?
    follow(page.get_by_role("link", name="Morning", exact=True))
    assert "four weeks' mean" in page.locator("[data-metric=orders]").inner_text()
    assert owner.complaints == []


def test_moves_filters_and_one_customers_future_are_the_apis(system: str, browser: Browser) -> None:
    owner = watch(browser, system)
    page = owner.page
    owner.login()
    moves: Counter[tuple[str, str]] = Counter()
    for change in api(system, "/segment_changes?limit=1000")["changes"]:
        moves[change["from_segment"] or "new customer", change["to_segment"] or "gone"] += 1
    page.goto(f"{system}/customers")
    shown = [row.split("\t") for row in page.locator("#flows tbody tr").all_inner_texts()]
    assert shown and all(moves[before, after] == int(count) for before, after, count in shown)
    assert [int(count) for _, _, count in shown] == [count for _, count in moves.most_common(len(shown))]
    cluster = min(api(system, "/clusters")["clusters"], key=lambda each: each["customers"])
    for query, path in (
        (f"cluster={cluster['cluster_id']}", f"/clusters/{cluster['cluster_id']}/customers?limit=1000"),
        ("overdue=true", "/predictions?overdue=true&limit=1000"),
    ):
        members = api(system, path)
        ids = [each["mobile_id"] for each in members.get("customers", members.get("predictions"))]
        page.goto(f"{system}/customers?{query}")
        assert page.locator("#customers-table tbody th").all_inner_texts() == ids[:50]
        rows = api(system, f"/rfm_segments?{query}&limit=1000")["segments"]
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as CSV").click()
        exported = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
        assert [row["mobile_id"] for row in exported][:1000] == [row["mobile_id"] for row in rows] == ids
    overdue = exported[0]["mobile_id"]
    page.goto(f"{system}/customers/{quote(overdue, safe='')}")
    since = date.fromisoformat(api(system, f"/predictions/{quote(overdue, safe='')}")["overdue_since"])
    assert f"Overdue since {since:%b} {since.day}, {since.year}" in page.locator("main").inner_text()
    offered = api(system, f"/recommendations/{quote(overdue, safe='')}?limit=5")["items"]
    assert page.locator("#offers tbody th").all_inner_texts() == [item["name"] for item in offered]
    assert owner.complaints == []


def test_items_matrix_clusters_and_cohorts_have_the_apis_numbers(system: str, browser: Browser) -> None:
    owner = watch(browser, system)
    page = owner.page
    owner.login()
    page.goto(f"{system}/menu")
    matrix = api(system, "/menu_matrix")
    follow(page.get_by_role("link", name="the menu matrix"))
    for kind in ("star", "plough-horse", "puzzle", "dog"):
        names = [item["name"] for item in matrix["items"] if item["kind"] == kind]
        assert page.locator(f"[data-kind={kind}] tbody th").all_inner_texts() == names
    first = matrix["items"][0]
    page.get_by_role("link", name=first["name"], exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(first["name"])
    assert page.locator("#item-orders").inner_text() == f"{first['orders']:,}"
    page.goto(f"{system}/views/clusters")
    for cluster in api(system, "/clusters")["clusters"]:
        card = page.locator(f"[data-cluster='{cluster['cluster_id']}']")
        assert f"{cluster['customers']:,} customers" in card.inner_text() and cluster["name"] in card.inner_text()
    page.goto(f"{system}/views/cohorts")
    oldest = api(system, "/cohorts")["cohorts"][-2]
    cells = page.locator("#cohorts tbody tr").nth(1).locator("td").all_inner_texts()
    assert cells[0].split()[0] == f"{oldest['customers']:,}"
    assert cells[1].split()[0].rstrip("%\u00a0") == f"{100 * oldest['months'][1]['share']:.1f}"
    assert owner.complaints == []


def test_a_map_is_tried_before_it_goes_live(system: str, browser: Browser, tmp_path: Path) -> None:
    looker = watch(browser, system)
    page = looker.page
    looker.login(LOOKER)  # a dry run changes nothing
    follow(page.get_by_role("link", name="Rules"))
    text = page.get_by_label("Change it here").input_value()
    follow(page.get_by_role("button", name="Dry run"))
    assert page.locator("#moved").inner_text() == "0"
    tables = tomllib.loads(text) | {"cut_points": {"frequency": [1, 2, 4, 8]}}
    file = tmp_path / "map.toml"
    file.write_text(f"{text}\n[cut_points]\nfrequency = [1, 2, 4, 8]\n")
    page.get_by_label("A file in TOML instead").set_input_files(file)
    follow(page.get_by_role("button", name="Dry run"))
    expected = requests.post(f"{system}/rfm_segments_preview", json=tables, headers=TOKEN, timeout=20).json()
    assert page.locator("#moved").inner_text() == f"{expected['moved']:,}" != "0"
    moves = [row.split("\t")[:3] for row in page.locator("#preview-moves tbody tr").all_inner_texts()]
    assert moves == [
        [move["from_segment"], move["to_segment"], f"{move['customers']:,}"] for move in expected["moves"][:20]
    ]
    page.get_by_label("Change it here").fill(text.replace("555", "556"))
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown codes 556")
    assert [complaint for complaint in looker.complaints if "422" not in complaint] == []


def test_a_link_logs_in_to_look(system: str, browser: Browser) -> None:
    owner = watch(browser, system)
    owner.login()
    owner.page.goto(f"{system}/operations")
    owner.page.get_by_role("button", name="Make a link").click()
    link = owner.page.get_by_label("Whoever opens this link").input_value()
    guest = watch(browser, system)
    guest.page.goto(link)
    expect(guest.page.get_by_role("heading", level=1)).to_have_text("Morning")
    guest.page.goto(f"{system}/operations")
    assert guest.page.get_by_role("button", name="Start").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_fit_and_axe_finds_nothing(system: str, browser: Browser, width: int, scheme: Any) -> None:
    visitor = watch(browser, system, viewport={"width": width, "height": 844}, color_scheme=scheme)
    visitor.page.goto(f"{system}/login")
    found = {"/login": violations(visitor.page)}
    visitor.login()
    first = api(system, "/rfm_segments?limit=1")["segments"][0]["mobile_id"]
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
