"""Names, prices and costs of the counted items, read when a run is published, for all dayparts together."""

from __future__ import annotations

from sqlalchemy.orm import Session

from kinds.menu import rows
from settings import Settings
from source import reading
from source.menu import read_menu


def name_items(session: Session, settings: Settings, generation: int) -> None:
    """Store the current menu for all counted items of a generation, and the names in its ranks."""
    items = rows.counted_items(session, generation)
    with reading.connect(settings.source_database_url) as crm:
        menu = read_menu(crm, items)
    rows.save_menu(session, generation, menu)
