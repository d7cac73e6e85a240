"""The items' names and categories, as the CRM has them now."""

from __future__ import annotations

from collections.abc import Iterable

from settings import Settings
from source import reading


def item_names(settings: Settings, items: Iterable[int]) -> dict[int, tuple[str | None, str | None]]:
    """The items' names and categories, as the CRM has them now."""
    with reading.connect(settings.source_database_url) as crm:
        return reading.item_names(crm, [int(item) for item in items])
