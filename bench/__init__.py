"""The benchmark: ours beside the SQL, pandas, Polars and DuckDB that people could run instead, on one set of orders."""
