"""Other implementations of the same work, each written as favourably as possible.

Each reads the source tables of one database and writes its results to a table with a primary key. It may use both
processors, more memory than PostgreSQL's defaults, and knowledge of the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

RFM_VALUES = ("mobile_id", "recency_days", "frequency", "monetary")
RFM_ALL = (*RFM_VALUES, "r_score", "f_score", "m_score", "rfm_score", "segment")
MENU_ALL = ("daytime_id", "rank", "menu_item_id", "orders", "quantity", "share")


@dataclass(frozen=True)
class Rival:
    """An implementation of a kind's work; `agrees` are the columns with the same definition as ours."""

    name: str
    kind: str
    title: str
    module: str
    function: str
    agrees: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The name of its result table."""
        return f"rival_{self.name}"

    @property
    def installed(self) -> bool:
        """Whether its libraries are installed."""
        return all(find_spec(library) for library in self.needs)

    def run(self, url: str) -> None:
        """Do the work once, from the source rows to a table with a primary key."""
        getattr(import_module(f"bench.rivals.{self.module}"), self.function)(url, self.table)


POLARS, DUCKDB = ("polars", "adbc_driver_postgresql"), ("duckdb", "adbc_driver_postgresql")
RIVALS = (
    Rival(
        "rfm_ntile", "rfm", "SQL, NTILE", "statements", "rfm_ntile", RFM_VALUES
    ),  # its scores differ for equal values
    Rival("rfm_percentile", "rfm", "SQL, percentile_cont + CASE", "statements", "rfm_percentile", RFM_ALL),
    Rival("rfm_pandas", "rfm", "pandas", "pandas_frames", "rfm", RFM_ALL),
    Rival("rfm_polars", "rfm", "Polars over ADBC", "polars_frames", "rfm", RFM_ALL, POLARS),
    Rival("rfm_duckdb", "rfm", "DuckDB over Arrow", "duckdb_arrow", "rfm", RFM_ALL, DUCKDB),
    Rival("menu_plain", "menu", "SQL, plain", "statements", "menu_plain", MENU_ALL),
    Rival("menu_tuned", "menu", "SQL, hand-tuned", "statements", "menu_tuned", MENU_ALL),
    Rival("menu_pandas", "menu", "pandas", "pandas_frames", "menu", MENU_ALL),
    Rival("menu_polars", "menu", "Polars over ADBC", "polars_frames", "menu", MENU_ALL, POLARS),
    Rival("menu_duckdb", "menu", "DuckDB over Arrow", "duckdb_arrow", "menu", MENU_ALL, DUCKDB),
)
BY_NAME = {rival.name: rival for rival in RIVALS}
