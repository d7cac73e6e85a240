"""Redis as Celery's broker: its address, checks, counters, and a transport that validates messages."""
