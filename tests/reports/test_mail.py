"""The morning mail on a real SMTP server: once a business day after the nightly runs, retried, and only with news."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest

from cli.doctor import examine
from kinds import needs
from reports.sending import send_due
from settings import Settings
from source.window import business_date_of
from store import inbox, mails, runs
from store.database import transaction
from store.mails import WAITS, Mail
from tests.builders import transactions
from tests.certificates import Certificates
from tests.reports.postbox import Postbox, postbox
from tests.system import fill, finish_inline, make_settings, read
from worker.mailing import send

OWNER, CHEF = "owner@cafe.example", "chef@cafe.example"


@pytest.fixture
def box() -> Iterator[Postbox]:
    with postbox() as found:
        yield found


class Shop:
    """A restaurant that sells each day, and its nights."""

    def __init__(self, url: str, redis_url: str, folder: Path, box: Postbox) -> None:
        self.settings: Settings = make_settings(
            url,
            folder,
            redis_url,
            KINDS="rfm trends",
            REPORT_SMTP_URL=f"smtp://127.0.0.1:{box.port}?from=reports@cafe.example",
            REPORT_TO=f"{OWNER},{CHEF}",
        )
        with transaction(url) as session:
            self.now = runs.now(session)
        self.today: date = business_date_of(self.now, "UTC", self.settings.business_day_start)
        noon = datetime.combine(self.today, self.settings.business_day_start, UTC)
        sold = [(ago, f"c{ago % 7}", "10.00", noon - timedelta(days=ago, hours=-5)) for ago in range(1, 40)]
        fill(url, {"fact_transactions": transactions(sold)})

    def night(self, day: date | None = None, *, finish: bool = True) -> None:
        """The nightly request of a business date, and its runs."""
        day = day or self.today
        body = {"type": "nightly", "business_date": day.isoformat()}
        url = self.settings.database_url
        wanted = ["rfm", "trends"]
        for run in inbox.deliver(url, "nightly", day.isoformat(), body, wanted, "full", needs=needs(wanted)):
            if finish:
                finish_inline(self.settings, run.run_id)

    def send(self) -> str:
        """What a worker does when a sweep has found the mail due; its state then."""
        send_due(self.settings)
        return self.mail().state

    def is_due(self) -> bool:
        with transaction(self.settings.database_url) as session:
            return mails.due(session, self.today)

    def mail(self) -> Mail:
        with transaction(self.settings.database_url) as session:
            found = session.get(Mail, self.today)
            assert found is not None
            return found

    def wait(self) -> None:
        """Let the time of the next attempt come."""
        with psycopg.connect(self.settings.database_url) as connection:
            connection.execute("UPDATE analytics_mails SET next_attempt_at = now()")


@pytest.fixture
def shop(migrated_url: str, redis_url: str, tmp_path: Path, box: Postbox) -> Shop:
    return Shop(migrated_url, redis_url, tmp_path, box)


def test_one_mail_follows_the_nightly_runs_and_tells_what_the_page_tells(shop: Shop, box: Postbox) -> None:
    assert not shop.is_due()
    shop.night(finish=False)
    send_due(shop.settings)
    assert not shop.is_due() and box.mails == []
    for _ in ("rfm", "trends"):
        with transaction(shop.settings.database_url) as session:
            unfinished = list(runs.unfinished(session))
        for run_id in unfinished:
            finish_inline(shop.settings, run_id)
    assert shop.is_due()
    with ThreadPoolExecutor(4) as several:  # as if each of four sweeps had sent its message
        list(several.map(send_due, [shop.settings] * 4))
    assert shop.mail().state == "sent" and not shop.is_due()
    ((to, message),) = box.mails
    assert to == (OWNER, CHEF) and message["From"] == "reports@cafe.example" and message["To"] == f"{OWNER}, {CHEF}"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None and html is not None
    for part in (text.get_content(), html.get_content()):
        assert "Morning" in part and "Revenue" in part and "10.00" in part  # the one order of the day before
    for foreign in ("<script", "<link", "<img", "<svg", "<form", "href=", "src=", "http"):
        assert foreign not in html.get_content()
    assert send_due(shop.settings) is None and len(box.mails) == 1


def test_a_day_without_new_orders_has_no_mail_and_the_next_new_order_brings_one(shop: Shop, box: Postbox) -> None:
    with transaction(shop.settings.database_url) as session:
        yesterday = shop.today - timedelta(days=1)
        attempt = mails.claim(session, yesterday, [OWNER], yesterday)
        assert attempt is not None
        mails.answered(session, attempt, [], "accepted")
    shop.night()
    assert shop.send() == "skipped" and not shop.is_due() and box.mails == []
    with psycopg.connect(shop.settings.database_url) as connection:  # the mail before told of the day before
        connection.execute("DELETE FROM analytics_mails WHERE business_date = %s", [shop.today])
        connection.execute("UPDATE analytics_mails SET data_until = data_until - 1")
    assert shop.send() == "sent" and len(box.mails) == 1


def test_who_was_refused_gets_the_same_mail_again_until_it_is_given_up(shop: Shop, box: Postbox) -> None:
    shop.night()
    box.refused.add(CHEF)
    assert shop.send() == "waiting"
    assert shop.mail().remaining == [CHEF] and (shop.mail().last_answer or "").startswith("550 5.1.1")
    assert shop.mail().next_attempt_at - shop.now > WAITS[0] / 2 and not shop.is_due()
    send_due(shop.settings)  # a message that was sent twice
    assert [to for to, _ in box.mails] == [(OWNER,)]
    (finding,) = (found for found in examine(shop.settings, {}) if found.subject == "morning mail")
    assert finding.level == "warning" and "550 5.1.1" in finding.found
    box.refused.clear()
    shop.wait()
    assert shop.send() == "sent"
    assert [to for to, _ in box.mails] == [(OWNER,), (CHEF,)]
    assert len({message["Message-ID"] for _, message in box.mails}) == 1


def test_a_server_that_is_down_is_tried_a_bounded_number_of_times(shop: Shop, box: Postbox) -> None:
    shop.night()
    down = make_settings(
        shop.settings.database_url, shop.settings.home, REPORT_SMTP_URL="smtp://127.0.0.1:1", REPORT_TO=OWNER
    )
    for _ in range(len(WAITS)):
        send_due(down)
        assert shop.mail().state == "waiting"
        shop.wait()
    send_due(down)
    assert (shop.mail().state, shop.mail().attempts) == ("failed", len(WAITS) + 1)
    assert shop.mail().last_answer == "ConnectionRefusedError" and not shop.is_due()
    counted = read(down.database_url, "SELECT labels, value FROM analytics_totals WHERE name = 'report_mails'")
    assert sorted(map(tuple, counted.to_numpy())) == [
        ('{"outcome": "failed"}', 1),
        ('{"outcome": "waiting"}', len(WAITS)),
    ]
    faults = [found.found for found in examine(down, {}) if found.subject == "mail server"]
    assert faults == ["can't be used: ConnectionRefusedError"]


def test_an_attempt_whose_process_died_is_repeated_once_its_time_has_come(shop: Shop, box: Postbox) -> None:
    shop.night()
    with transaction(shop.settings.database_url) as session:
        died = mails.claim(session, shop.today, shop.settings.report_to, shop.today - timedelta(days=1))
    assert died is not None and not shop.is_due()
    shop.wait()
    assert shop.send() == "sent"
    ((_, message),) = box.mails
    assert message["Message-ID"] == f"<{died.mail_id}@cafe.example>"
    with transaction(shop.settings.database_url) as session:  # the day after gives up what waits
        session.get_one(Mail, shop.today).state = "waiting"
        assert mails.claim(session, shop.today + timedelta(days=1), [OWNER], shop.today) is not None
        session.expire_all()
        assert session.get_one(Mail, shop.today).state == "failed"


def test_old_mails_are_deleted_but_the_last_that_was_sent(migrated_url: str) -> None:
    today = date(2026, 3, 2)
    with transaction(migrated_url) as session:
        for days, state in ((90, "sent"), (80, "sent"), (70, "skipped"), (0, "skipped")):
            attempt = mails.claim(session, today - timedelta(days=days), [OWNER], today - timedelta(days=days))
            assert attempt is not None
            mails.answered(session, attempt, [], "accepted")
            session.get_one(Mail, attempt.business_date).state = state
        session.get_one(Mail, today).business_date = runs.now(session).date()
        session.flush()
        mails.drop_old(session)
    left = read(migrated_url, "SELECT business_date, state FROM analytics_mails ORDER BY 1")
    assert list(left["state"]) == ["sent", "skipped"] and left["business_date"][0] == today - timedelta(days=80)


@pytest.mark.long
def test_a_password_is_sent_only_with_tls_and_a_certificate_that_is_trusted(
    migrated_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.posting import trusted

    ours, other = Certificates(tmp_path / "ours"), Certificates(tmp_path / "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ours.certificate, ours.key)

    def sent(url: str, authority: Path) -> str:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        trusted.cache_clear()
        settings = make_settings(migrated_url, tmp_path, REPORT_SMTP_URL=url, REPORT_TO=OWNER)
        message = EmailMessage()
        message["From"] = message["To"] = OWNER
        assert settings.report_server is not None
        return send(settings.report_server, message, [OWNER])[1]

    try:
        user = "reports%40cafe.example:p%3Aw%2F1@"
        with postbox(login=True, starttls=context) as box:
            assert sent(f"smtp://{user}localhost:{box.port}", ours.ca) == "accepted"
            assert sent(f"smtp://{user}localhost:{box.port}", other.ca) == "SSLCertVerificationError"
            assert sent(f"smtp://reports%40cafe.example:wrong@localhost:{box.port}", ours.ca).startswith("535")
            assert len(box.mails) == 1
        with postbox(login=True, tls=context) as box:
            assert sent(f"smtps://{user}localhost:{box.port}", ours.ca) == "accepted"
        with postbox(login=True, host="0.0.0.0") as box:  # 127.0.0.2 stands for another machine
            assert "STARTTLS" in sent(f"smtp://{user}127.0.0.2:{box.port}", ours.ca)
            assert box.mails == []
    finally:
        trusted.cache_clear()
