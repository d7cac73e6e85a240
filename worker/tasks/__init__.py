"""Celery tasks: those on `control` advance runs, those on `compute` do their parts."""
