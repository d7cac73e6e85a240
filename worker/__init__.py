"""The Celery application: planning and advancing runs, beat, and posting events."""
