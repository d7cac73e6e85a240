"""The registry: the only list of kinds of result, in the order in which they are requested and shown.

A kind's code is imported when it is first used, so that a program that needs only the names, such as the webhook, does
not load pandas and the like.
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
    """A kind: its class as `module:Class`, and what requests need to know of it.

    `needs`: kinds whose results it reads; its run starts when the same request's runs of those have ended.
    `trains`: it has a model (mode `train`). `by_default`: HTTP requests that name no kinds include it; nightly runs
    include all computed kinds.
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
    "clusters": Entry("kinds.clusters.kind:ClustersKind", trains=True, by_default=False),
    "trends": Entry("kinds.trends.kind:Trends", needs=("rfm",), by_default=False),
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
    """The names without duplicates, checked.

    Raises
    ------
    RequestError
        When there is none, or one is not a kind.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in KINDS]
    if unknown or not wanted:
        raise RequestError(f"Unknown kind {', '.join(unknown) or '(none)'}; there are {' and '.join(KINDS)}.")
    return wanted


def needs(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each of these kinds, the kinds whose results it reads."""
    return {name: KINDS[name].needs for name in names}
