"""The keys that sign outgoing events: one per receiver, so that none can sign as another receiver or as the CRM.

They are taken from `EVENT_SECRETS`. Where it is not set, one is generated per URL and stored for all hosts.
"""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from settings import Settings
from store import runs
from store.models import EventKey


def signing(session: Session, settings: Settings, url: str) -> tuple[str, ...]:
    """The keys that sign a receiver's events: its own, and for 30 days after an upgrade WEBHOOK_SECRETS as well."""
    own, until = _own(session, settings, url)
    if until is not None and until > runs.now(session):
        return (own, *settings.webhook_secrets)
    return (own,)


def every(session: Session, settings: Settings) -> list[tuple[str, str, datetime | None]]:
    """Each receiver's URL and key, and until when its events are signed with WEBHOOK_SECRETS as well."""
    now = runs.now(session)
    found = [(url, *_own(session, settings, url)) for url in dict.fromkeys(settings.event_urls)]
    return [(url, key, until if until and until > now else None) for url, key, until in found]


def _own(session: Session, settings: Settings, url: str) -> tuple[str, datetime | None]:
    given = dict(zip(settings.event_urls, settings.event_secrets, strict=False))
    if url in given:
        return given[url], None
    fresh = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    session.execute(insert(EventKey).values(url=url, secret=fresh).on_conflict_do_nothing())
    found = session.execute(select(EventKey.secret, EventKey.both_until).where(EventKey.url == url)).one()
    return found.secret, found.both_until
