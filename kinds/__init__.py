"""The registry: the kinds of result that are computed, in the order in which they are asked for and shown.

This is the only list of kinds. A kind's code is imported when it is first used, so that a program that only names
kinds, such as the webhook, does not load what computes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from errors import RequestError

if TYPE_CHECKING:
    from kinds.base import Kind
    from settings import Settings

KINDS = {
    "rfm": "kinds.rfm.kind:Rfm",
    "menu": "kinds.menu.kind:Menu",
}


@cache
def get(name: str) -> Kind:
    """The kind of this name, which is one of `KINDS`."""
    module, _, attribute = KINDS[name].partition(":")
    kind: Kind = getattr(import_module(module), attribute)()
    return kind


def every() -> list[Kind]:
    """All kinds, in order."""
    return [get(name) for name in KINDS]


def known(names: Iterable[str]) -> list[str]:
    """The names, each once, if they are kinds.

    Raises
    ------
    RequestError
        When there is none, or one that is no kind.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in KINDS]
    if unknown or not wanted:
        raise RequestError(f"Unknown kind {', '.join(unknown) or '(none)'}; there are {' and '.join(KINDS)}.")
    return wanted


def computed(settings: Settings) -> list[str]:
    """The kinds that are computed here (`KINDS`), in order."""
    return [name for name in KINDS if not settings.kinds or name in settings.kinds]


def requested(settings: Settings, names: Iterable[str] | None, mode: str) -> list[str]:
    """The kinds that a request is for: those named, or all that are computed.

    Raises
    ------
    RequestError
        When one is not computed here, or has no model to train and the mode is `train`.
    """
    wanted = known(names) if names is not None else computed(settings)
    others = [name for name in wanted if name not in computed(settings)]
    if others:
        raise RequestError(f"KINDS does not name {' and '.join(others)}, so it is not computed here.")
    untrained = [name for name in wanted if mode == "train" and not get(name).trains]
    if untrained:
        raise RequestError(f"There is no model to train for {' and '.join(untrained)}; ask for a full run instead.")
    return wanted
