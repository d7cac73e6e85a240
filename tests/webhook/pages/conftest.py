"""A browser without a screen: the application's test client, logged in, and what it reads out of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from settings import Settings
from tests.system import make_settings
from webhook.app import create_app

OWNER, LOOKER = "owner-token", "looker-token"


class Read(HTMLParser):
    """What a page holds: texts of its elements, forms' hidden fields and attributes by tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.cards: dict[str, list[str]] = {}  # a metric's texts, by `data-metric` or, after "so far ", `data-so-far`
        self._cell = False
        self._card: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag == "li":
            metric, so_far = self.tags[-1][1].get("data-metric"), self.tags[-1][1].get("data-so-far")
            self._card = self.cards.setdefault(metric or f"so far {so_far}", []) if metric or so_far else None
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False
        if tag == "li":
            self._card = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._card is not None and data.strip():
            self._card.append(" ".join(data.split()))
        if self._cell:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()

    def value(self, name: str) -> str:
        """The first field of this name."""
        return next(attrs["value"] or "" for tag, attrs in self.tags if tag == "input" and attrs.get("name") == name)

    def row(self, first: str) -> list[str]:
        """The row whose first cell is this."""
        return next(row for row in self.rows if row and row[0] == first)


@dataclass
class Visitor:
    """Somebody with a browser."""

    client: FlaskClient
    settings: Settings

    def get(self, path: str, status: int = 200) -> Read:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return Read(answer.get_data(as_text=True))

    def post(self, path: str, status: int = 303, **fields: str) -> TestResponse:
        """Send a form with this session's token."""
        answer = self.client.post(path, data={"form": self.form()} | fields)
        assert answer.status_code == status, answer.get_data(as_text=True)
        return answer

    def form(self) -> str:
        page = self.client.get("/operations", follow_redirects=True)
        return Read(page.get_data(as_text=True)).value("form")

    def login(self, token: str = OWNER) -> Visitor:
        self.post("/login", token=token)
        return self


@pytest.fixture
def visit(migrated_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Visitor]:
    """Makes visitors of a webhook with these settings."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", migrated_url)

    def make(**env: str) -> Visitor:
        tokens: dict[str, Any] = {"API_TOKENS": f"{OWNER} {LOOKER}:read"}
        settings = make_settings(migrated_url, tmp_path, redis_url, **(tokens | env))
        return Visitor(create_app(settings).test_client(), settings)

    return make
