"""Daily series, trends, forecasts and cohorts."""
