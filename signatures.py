"""Standard Webhooks signatures: signing outgoing messages and verifying incoming ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from standardwebhooks import Webhook, WebhookVerificationError

MAX_ID = 256


def signed_headers(secrets: Sequence[str], webhook_id: str, now: datetime, body: str) -> dict[str, str]:
    """The headers of a message, with one signature per secret, so that a receiver may verify with any of them."""
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, now, body) for secret in secrets),
    }


def verified_id(secrets: Sequence[str], body: bytes, headers: Mapping[str, str]) -> str | None:
    """The `webhook-id` of a message that one of the secrets has signed recently, or None.

    Malformed headers make the library raise ValueError from its decoders; they are not signed either.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    webhook_id = headers.get("webhook-id", "")
    if not 0 < len(webhook_id) <= MAX_ID or not webhook_id.isprintable():
        return None
    for secret in secrets:
        try:
            Webhook(secret).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            continue
        return webhook_id
    return None
