"""An SMTP server that keeps what it is sent, as an owner's mail server would."""

from __future__ import annotations

import asyncio
import email
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from embedded.ports import choose_port


@dataclass
class Postbox:
    """The mails that arrived, and whom it refuses. While `closed`, it does not answer a mail's last line."""

    port: int
    mails: list[tuple[tuple[str, ...], EmailMessage]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    arrived: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    async def handle_RCPT(self, _: Any, __: Any, envelope: Envelope, address: str, ___: Any) -> str:
        if address in self.refused:
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Envelope) -> str:
        self.arrived.set()
        if self.closed.is_set():
            while self.closed.is_set():
                await asyncio.sleep(0.05)
            return "451 closed"
        message = email.message_from_bytes(envelope.content or b"", policy=default)  # type: ignore[arg-type]
        assert isinstance(message, EmailMessage)
        self.mails.append((tuple(envelope.rcpt_tos), message))
        return "250 kept"


def _checks(_: Any, __: Any, ___: Any, ____: str, given: Any) -> AuthResult:
    assert isinstance(given, LoginPassword)
    right = (given.login, given.password) == (b"reports@cafe.example", b"p:w/1")
    return AuthResult(success=right, handled=False)  # the server answers


@contextmanager
def postbox(
    *,
    login: bool = False,
    host: str = "127.0.0.1",
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Postbox]:
    """A server on a free port; `login` accepts `reports@cafe.example` with the password `p:w/1` only."""
    found = Postbox(choose_port("SMTP", 0))
    options: dict[str, Any] = {"authenticator": _checks, "auth_required": login, "auth_require_tls": False}
    server = Controller(
        found,
        hostname=host,
        port=found.port,
        ssl_context=tls,
        tls_context=starttls,
        server_hostname="localhost",
        **options,
    )
    server.start()
    try:
        yield found
    finally:
        server.stop()
