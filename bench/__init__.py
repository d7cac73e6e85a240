"""The benchmark: full runs compared with SQL, pandas, Polars and DuckDB implementations on the same orders."""
