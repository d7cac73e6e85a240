"""Requests: which kinds are computed here, which a request includes, and putting a model version in service."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from errors import RequestError
from kinds import KINDS, get, known
from settings import Settings
from store import inbox, versions
from store.models import DefaultKind, ModelVersion, Run


def computed(session: Session, settings: Settings) -> list[str]:
    """The kinds that are computed here, in order: those of the setting `KINDS`.

    If it is not set, all, or the kinds of a database that had runs before an upgrade.
    """
    chosen = settings.kinds or tuple(session.scalars(select(DefaultKind.kind)))
    return [name for name in KINDS if not chosen or name in chosen]


def requested(
    session: Session, settings: Settings, names: Iterable[str] | None, mode: str, *, every: bool = False
) -> list[str]:
    """The kinds of a request: those named, or by default those that an import changes.

    `every` makes all computed kinds the default.

    Raises
    ------
    RequestError
        When one is not computed here, or has no model to train and the mode is `train`.
    """
    here = computed(session, settings)
    if names is None:
        wanted = here if every else [name for name in here if KINDS[name].by_default] or here
    else:
        wanted = known(names)
    others = [name for name in wanted if name not in here]
    if others and settings.kinds:
        raise RequestError(f"KINDS does not name {' and '.join(others)}, so it is not computed here.")
    if others:
        raise RequestError(
            f"{' and '.join(others).capitalize()} is not computed here: this database had runs of {' and '.join(here)}"
            f" alone. Set KINDS to what is to be computed, such as {' '.join(KINDS)}."
        )
    untrained = [name for name in wanted if mode == "train" and not KINDS[name].trains]
    if untrained:
        raise RequestError(f"There is no model to train for {' and '.join(untrained)}; request a full run instead.")
    return wanted


def put_in_service(session: Session, settings: Settings, model: ModelVersion) -> Run:
    """Put a version of a kind's model in service, and request the full run that publishes its results.

    Raises
    ------
    RequestError
        When the kind is not computed here, or can no longer use this version.
    """
    requested(session, settings, [model.kind], "full")
    get(model.kind).check_version(session, model)
    versions.put_in_service(session, model)
    return inbox.request(session, [model.kind])[0]
