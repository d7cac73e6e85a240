"""Checks of models for `smartcrm doctor`: whether they can be fitted here, and drift of those in service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from kinds import KINDS, requests
from kinds.libraries import missing_libraries
from settings import Settings
from source.checks import Finding
from store import versions
from store.database import snapshot


def examine(settings: Settings) -> Iterator[Finding]:
    """Findings about the libraries that fit models, and about drift of the models in service."""
    with suppress(SQLAlchemyError), snapshot(settings.database_url) as session:
        here = [name for name in requests.computed(session, settings) if KINDS[name].trains]
        missing = missing_libraries()
        if {"predictions", "clusters"} & set(here) and missing:
            remedy = "Install them, or leave predictions and clusters out of KINDS."
            yield Finding("fault", "models", f"{' and '.join(missing)} not installed", remedy)
        for name in here:
            model = versions.champion(session, name)
            drift = {} if model is None else model.metrics.get("drift", {}).get("features", {})
            moved = [feature for feature, each in drift.items() if each["alarm"]]
            if model is not None and moved:
                found = f"customers changed since version {model.version} was trained ({', '.join(moved)})"
                yield Finding("warning", name, found, f"smartcrm train {name}")
            elif model is not None:
                yield Finding("ok", name, f"version {model.version} is in service")
