"""`REPORT_SMTP_URL` and `REPORT_TO`: the server that sends the morning mail, and its recipients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from urllib.parse import parse_qsl, unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}
ENCODE = "special characters in user and password must be percent-encoded, such as %40 for @"


@dataclass(frozen=True)
class MailServer:
    """A server that sends mail: with TLS from the start (smtps), or with STARTTLS if it offers it (smtp)."""

    host: str
    port: int
    tls: bool
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    sender: str | None  # None: see `sender_of`

    def sender_of(self, recipients: tuple[str, ...]) -> str:
        """The address of the sender: `from=` of the URL, else the user if it is one, else the first recipient."""
        own = self.user if self.user and _is_address(self.user) else None
        return self.sender or own or recipients[0]


def parse(value: str) -> MailServer | None:
    """The server of a URL; None for an empty one.

    Raises
    ------
    ValueError
        With what is wrong. It never quotes the value, which may hold a password.
    """
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {ENCODE}") from None
    if parts.scheme not in PORTS:
        raise ValueError("does not begin with smtp:// or smtps://")
    if not parts.hostname or parts.path.strip("/") or parts.fragment or port == 0 or not parts.hostname.isascii():
        raise ValueError(f"is not smtp://user:password@host:port; {ENCODE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if set(options) - {"from"} or not _is_address(options.get("from", "a@b.example")):
        raise ValueError("has after its ? something other than from= and an e-mail address")
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    if (user is None) != (password is None):
        raise ValueError("has a user without a password, or a password without a user")
    if not f"{user}{password}".isprintable() or not f"{user}{password}".isascii():
        raise ValueError("has characters beyond printable ASCII in its user or password")
    return MailServer(
        parts.hostname, port or PORTS[parts.scheme], parts.scheme == "smtps", user, password, options.get("from")
    )


def recipients(server: MailServer | None) -> Callable[[str], tuple[str, ...]]:
    """A parser of e-mail addresses, separated by commas, which are given if and only if there is a server."""

    def parse_all(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(entry.strip() for entry in value.split(",") if entry.strip()))
        wrong = [entry for entry in found if not _is_address(entry)]
        if wrong:
            raise ValueError(f"holds {wrong[0]!r}, which is not an e-mail address")
        if found and server is None:
            raise ValueError("is set, and REPORT_SMTP_URL is not: set both or none")
        if server is not None and not found:
            raise ValueError("names nobody, and REPORT_SMTP_URL is set: set both or none")
        return found

    return parse_all


def _is_address(text: str) -> bool:
    """Whether this is a plain address such as owner@restaurant.example, in ASCII, which every server accepts."""
    try:
        found = Address(addr_spec=text)
    except (MessageError, ValueError, IndexError):
        return False
    return text.isascii() and text.isprintable() and bool(found.username) and bool(found.domain)
