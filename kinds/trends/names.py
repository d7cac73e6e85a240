"""What people call the items and dayparts that series are of."""

from __future__ import annotations

from collections.abc import Sequence

from settings import Settings
from source import reading
from source.menu import read_menu
from source.window import Plan


def names_of(settings: Settings, plan: Plan, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
    """The name of each series' dimension, as the CRM has it now; None where it has none."""
    labels = {str(daypart["daytime_id"]): daypart["label"] for daypart in plan["dayparts"]}
    items = sorted({int(dimension.partition(":")[0]) for metric, dimension in keys if metric.startswith("item")})
    names: dict[int, str | None] = {}
    if items:
        with reading.connect(settings.source_database_url) as crm:
            names = {item: row.name for item, row in read_menu(crm, items).items()}
    return {(metric, dimension): _name(metric, dimension, names, labels) for metric, dimension in keys}


def _name(metric: str, dimension: str, items: dict[int, str | None], labels: dict[str, str]) -> str | None:
    if metric.startswith("daypart"):
        return labels.get(dimension)
    if not metric.startswith("item"):
        return dimension or None
    item, _, daypart = dimension.partition(":")
    name = items.get(int(item))
    return f"{name}, {labels.get(daypart, daypart)}" if name is not None and daypart else name
