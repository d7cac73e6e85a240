"""The registry: the kinds of result that are computed, in the order in which they are requested and shown.

This is the only list of kinds. A kind's code is imported when it is first used, so that a program that only names
kinds, such as the webhook, does not load what computes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from errors import RequestError

if TYPE_CHECKING:
    from kinds.base import Kind


@dataclass(frozen=True)
class Entry:
    """A kind: where its class is (`module:Class`), and what a request has to know of it.

    `needs` are kinds whose results it reads: its run starts once the same request's runs of those have ended.
    `trains` says that it has a model (mode `train`). `by_default` says that a request over HTTP that names no kinds is
    for it; the nightly run is for all that are computed.
    """

    path: str
    needs: tuple[str, ...] = ()
    trains: bool = False
    by_default: bool = True


KINDS = {
    "rfm": Entry("kinds.rfm.kind:Rfm"),
    "menu": Entry("kinds.menu.kind:Menu"),
    "recommendations": Entry("kinds.recommendations.kind:Recommendations", needs=("rfm",), trains=True),
    "predictions": Entry("kinds.predictions.kind:Predictions", trains=True, by_default=False),
}


@cache
def get(name: str) -> Kind:
    """The kind of this name, which is one of `KINDS`."""
    module, _, attribute = KINDS[name].path.partition(":")
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


def needs(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The kinds that each of these reads results of."""
    return {name: KINDS[name].needs for name in names}
