"""Our tables in PostgreSQL: runs, their parts, deliveries, events, and which results are published."""
