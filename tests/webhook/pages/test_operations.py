"""The Operations page: ages, runs in plain words, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from kinds import KINDS
from store import mails
from store.database import transaction
from tests.builders import plain_orders
from tests.system import fill, finish_inline, read, run_inline
from tests.webhook.pages.conftest import Visitor

Visit = Callable[..., Visitor]


def test_nothing_published_says_what_to_do_next(visit: Visit) -> None:
    page = visit().login().get("/operations")
    assert page.text.count("Nothing is published yet. Request a run;") == len(KINDS)
    assert "There are no such runs." in page.text


def test_a_run_is_requested_shown_and_finished(visit: Visit) -> None:
    visitor = visit(KINDS="rfm menu").login()
    url = visitor.settings.database_url
    fill(url, plain_orders(12))
    visitor.post("/operations/recompute", kind="rfm", mode="full")
    asked = read(url, "SELECT run_id, kind, mode, status FROM analytics_runs")
    assert asked[["kind", "mode", "status"]].values.tolist() == [["rfm", "full", "pending"]]
    waiting = visitor.get("/operations")
    assert waiting.row("Customer segments")[1].startswith("Waiting")
    assert waiting.row("Customer segments")[2] == "Everything"
    assert [attrs for tag, attrs in waiting.tags if tag == "div" and "data-live" in attrs]
    finish_inline(visitor.settings, asked["run_id"][0])
    done = visitor.get("/operations")
    assert done.row("Customer segments")[1].startswith("Succeeded")
    assert "Adding up each customer's purchases: 1 of 1" in done.row("Customer segments")[5]
    assert not [attrs for tag, attrs in done.tags if "data-live" in attrs]


def test_all_kinds_are_requested_by_default_and_a_run_is_cancelled(visit: Visit) -> None:
    visitor = visit(KINDS="rfm menu").login()
    url = visitor.settings.database_url
    visitor.post("/operations/recompute")
    asked = read(url, "SELECT run_id, kind FROM analytics_runs ORDER BY kind")
    assert list(asked["kind"]) == ["menu", "rfm"]
    visitor.post(f"/operations/{asked['run_id'][0]}/cancel")
    assert visitor.get("/operations?status=cancelled").row("Menu rankings")[1].startswith("Cancelled")
    again = visitor.post(f"/operations/{asked['run_id'][0]}/cancel", 409)
    assert "has cancelled already" in again.get_data(as_text=True)


def test_old_results_are_called_old(visit: Visit) -> None:
    visitor = visit(KINDS="rfm").login()
    fill(visitor.settings.database_url, plain_orders(3))
    run_inline(visitor.settings, "rfm", at=datetime.now(UTC) - timedelta(hours=25))
    assert "Older than a day" in visitor.get("/operations").text
    run_inline(visitor.settings, "rfm")
    assert "Older than a day" not in visitor.get("/operations").text


def test_what_makes_no_sense_is_answered_by_a_page_with_one_sentence(visit: Visit) -> None:
    visitor = visit(KINDS="rfm").login()
    assert "there are rfm and" in visitor.get("/operations?kind=stars", 422).text
    assert "menu" in visitor.post("/operations/recompute", 422, kind="menu").get_data(as_text=True)
    assert visitor.client.get("/operations/no-id/cancel").status_code == 404


def test_the_morning_mails_state_is_shown_where_it_is_sent(visit: Visit) -> None:
    assert "Morning mail" not in visit().login().get("/operations").text
    visitor = visit(REPORT_SMTP_URL="smtp://mail.example:587", REPORT_TO="owner@cafe.example").login()
    assert "None has been sent yet" in visitor.get("/operations").text
    monday = date(2026, 3, 2)
    with transaction(visitor.settings.database_url) as session:
        attempt = mails.claim(session, monday, ["owner@cafe.example"], monday)
        assert attempt is not None
        mails.answered(session, attempt, ["owner@cafe.example"], "451 try again")
    text = visitor.get("/operations").text
    assert "Not sent yet for Mar 2, 2026; the next attempt is at" in text and "451 try again" in text
    with transaction(visitor.settings.database_url) as session:
        mails.answered(session, attempt, [], "accepted")
    assert "Last sent for Mar 2, 2026." in visitor.get("/operations").text
    with transaction(visitor.settings.database_url) as session:
        mails.claim(session, monday + timedelta(days=1), ["owner@cafe.example"], monday)
    text = visitor.get("/operations").text
    assert "Last sent for Mar 2, 2026." in text and "Not sent for Mar 3, 2026: there were no new orders." in text
