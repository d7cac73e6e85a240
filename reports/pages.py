"""The dashboard's pages, rendered in this process as somebody with a token that only reads sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask

from errors import SmartCRMError
from reports.markup import navigation
from settings import Settings
from webhook.app import create_app
from webhook.pages.words import Words

FORMS = ("/rules",)


@dataclass(frozen=True)
class Page:
    """A page: its address, its name in the navigation, and its HTML."""

    path: str
    name: str
    html: str


class Pages:
    """Renders pages; each reads its own snapshot of the published state."""

    def __init__(self, settings: Settings) -> None:
        self._app: Flask = create_app(settings)
        self._client = self._app.test_client()
        with self._client.session_transaction() as session:
            session["role"] = "read"

    @property
    def words(self) -> Words:
        """The texts and formats of the pages."""
        found: Words = self._app.config["WORDS"]
        return found

    def first(self) -> str:
        """The HTML of the Morning page."""
        return self._get("/")

    def every(self) -> Sequence[Page]:
        """The pages of the navigation that show something without being asked, in order."""
        found = [entry for entry in navigation(self.first()) if entry[0] not in FORMS]
        return [Page(path, name, self._get(path)) for path, name in found]

    def _get(self, path: str) -> str:
        answer = self._client.get(path, follow_redirects=True)
        if answer.status_code != 200:
            raise SmartCRMError(f"The page {path} can't be made: it answers {answer.status}.", code="page_failed")
        return answer.get_data(as_text=True)
