"""`smartcrm demo`: the whole system on generated orders, driven through its own signed webhook."""

from __future__ import annotations

import json
import tempfile
import urllib.request
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from cli.console import out
from embedded import restaurant
from kinds import requests
from kinds.recommendations import results
from settings import Settings
from signatures import signed_headers
from source.load import load
from source.reading import has_orders
from store.database import transaction
from store.published import published

SEED = 20260101


def prepare(settings: Settings) -> None:
    """Fill an empty database with generated orders; existing orders are used unchanged."""
    if has_orders(settings.source_database_url):
        out.print("Using the orders in this database.")
        return
    generated = restaurant.generate(seed=SEED, until=datetime.now(settings.zone))
    with tempfile.TemporaryDirectory() as folder:
        files = restaurant.write(generated, Path(folder))
        loaded = load(settings.source_database_url, files, timezone=settings.timezone).rows
    customers = generated.transactions["mobile_id"].nunique()
    out.print(
        f"Generated a restaurant: {loaded['fact_transactions']:,} orders with"
        f" {loaded['fact_transaction_items']:,} lines over 18 months, {customers:,} known customers,"
        f" {loaded['dim_menu_items']} items."
    )


def post_import(settings: Settings) -> list[dict[str, Any]]:
    """Post a signed import as the CRM's backend would; returns the runs that the 202 names."""
    webhook_id, now = f"demo_{uuid.uuid4().hex}", datetime.now(UTC)
    with transaction(settings.database_url) as session:
        data = {"import_id": webhook_id, "kinds": requests.computed(session, settings)}
    body = json.dumps({"type": "import.completed", "timestamp": now.isoformat(), "data": data})
    headers = {"Content-Type": "application/json"}
    headers |= signed_headers(settings.webhook_secrets[:1], webhook_id, now, body)
    url = f"http://127.0.0.1:{settings.port}/webhooks/imports"
    request = urllib.request.Request(url, body.encode(), headers)  # our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        out.print(f"POST /webhooks/imports, signed → {answer.status} {answer.headers['Location']}")
        runs: list[dict[str, Any]] = json.load(answer)["runs"]
    return runs


def show_lists(session: Session, settings: Settings) -> None:
    """The lists of three customers: one who comes often, one who comes sometimes, and one who is new."""
    from cli import recommendations

    state = published(session, recommendations.KIND)
    if state is None:
        return
    moment = datetime.now(settings.zone).time()
    for mobile_id in results.examples(session, state):
        recommendations.show(recommendations.one(session, state, replace(settings, top_n=5), mobile_id, moment))
