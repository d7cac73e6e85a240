"""What people call the items and dayparts that series are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from settings import Settings
from source import reading
from source.menu import read_menu
from source.window import Plan


@dataclass(frozen=True)
class Names:
    """The items' names, as the CRM has them now, and the dayparts' labels."""

    items: Mapping[str, str | None]
    dayparts: Mapping[str, str]

    @classmethod
    def read(cls, settings: Settings, plan: Plan, items: Sequence[int] | None = None) -> Names:
        """Those of these items, or of all."""
        with reading.connect(settings.source_database_url) as crm:
            names = {str(item): row.name for item, row in read_menu(crm, items).items()}
        return cls(names, {str(daypart["daytime_id"]): daypart["label"] for daypart in plan["dayparts"]})

    def of(self, metric: str, dimension: str) -> str | None:
        """The name of a series' dimension; None where it has none."""
        if metric.startswith("daypart"):
            return self.dayparts.get(dimension)
        if not metric.startswith("item"):
            return dimension or None
        item, _, daypart = dimension.partition(":")
        name = self.items.get(item)
        return f"{name}, {self.dayparts.get(daypart, daypart)}" if name is not None and daypart else name
