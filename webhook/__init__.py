"""The HTTP API: requests for runs, reads of published results, health, metrics."""
