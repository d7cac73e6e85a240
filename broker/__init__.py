"""Redis as Celery's broker: its address, the keys in it, and the messages that come from it."""
