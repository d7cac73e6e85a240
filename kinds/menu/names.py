"""Ranked items' names and categories, as the CRM has them when a run is published; read at once for all dayparts."""

from __future__ import annotations

from sqlalchemy.orm import Session

from kinds.menu import rows
from settings import Settings
from source import reading


def name_items(session: Session, settings: Settings, generation: int) -> None:
    """Give all ranked items of a generation the names and categories that the CRM has now."""
    items = rows.ranked_items(session, generation)
    with reading.connect(settings.source_database_url) as crm:
        names = reading.item_names(crm, items)
    rows.save_names(session, generation, {item: names.get(item, (None, None)) for item in items})
