"""`/metrics` for Prometheus: counters and gauges from PostgreSQL and Redis, read at each scrape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from broker import counts
from kinds import KINDS
from settings import Settings
from store import figures, totals
from store.database import snapshot
from webhook import queues
from webhook.access import authorize
from webhook.described import described
from webhook.models import Mode

blueprint = Blueprint("metrics", __name__)
blueprint.before_request(authorize)

TOTALS = {
    "runs": "Finished runs.",
    "run_seconds": "Seconds from start to end of finished runs.",
    "parts": "Parts of finished runs: customer shards, chunks, dayparts.",
    "part_seconds": "Seconds from sending to end of parts.",
    "parts_resent": "Parts that were sent again since their message was lost or late.",
    "sweeps": "Sweeps, one every five seconds.",
    "sweep_moves": "Steps of runs that the sweep did, since their message was lost or late.",
    "skipped_rows": "Source rows that runs skipped.",
    "forgotten": "Customers erased by smartcrm forget.",
    "deliveries": "Imports and requests for runs: accepted, repeated, or why an import was refused.",
    "messages_dropped": "Messages that no worker could read, by source: a queue, or a broadcast.",
    "event_attempts": "Attempts to deliver outgoing events.",
    "report_mails": "Attempts to send the morning mail, by what became of it: sent, waiting, failed, skipped.",
}


@blueprint.get("/metrics")
@described(answer=None)
def metrics() -> Response:
    """Metrics for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Figures(current_app.config["SETTINGS"]))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Figures(Collector):
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        yield from _kept(self.settings)
        yield _queues(self.settings)


def _kept(settings: Settings) -> Iterator[Metric]:
    with snapshot(settings.database_url) as session:
        kept, states = totals.every(session), figures.states(session, [*KINDS])
    with settings.redis.client(timeout=1) as client:
        refused, dropped = (counts.every(client, name) for name in ("refused_deliveries", "dropped_messages"))
    kept += [("deliveries", {"outcome": code}, count) for code, count in refused.items()]
    kept += [("messages_dropped", {"source": source}, count) for source, count in dropped.items()]
    kept += _from_zero()
    for name, description in TOTALS.items():
        rows = [(labels, value) for of, labels, value in kept if of == name]
        names = sorted({label for labels, _ in rows for label in labels})
        sums: dict[tuple[str, ...], float] = {}
        for labels, value in rows:
            of_labels = tuple(labels.get(label, "") for label in names)
            sums[of_labels] = sums.get(of_labels, 0) + value
        family = CounterMetricFamily(f"smartcrm_{name}", description, labels=names)
        for values, value in sums.items():
            family.add_metric(values, value)
        yield family
    for state in states:
        gauge = GaugeMetricFamily(f"smartcrm_{state.name}", state.description, labels=state.labels)
        for of, value in state.values:
            gauge.add_metric(of, value)
        yield gauge


def _from_zero() -> list[tuple[str, dict[str, str], float]]:
    """Counters that exist before their first event: Prometheus can't see that a counter rose if it begins at one."""
    failed = [{"kind": kind, "mode": mode, "outcome": "failed"} for kind in KINDS for mode in get_args(Mode)]
    return [
        *(("runs", labels, 0) for labels in failed),
        ("event_attempts", {"outcome": "failed"}, 0),
        ("report_mails", {"outcome": "failed"}, 0),
        ("sweeps", {}, 0),
    ]


def _queues(settings: Settings) -> GaugeMetricFamily:
    lengths = GaugeMetricFamily(
        "smartcrm_queue_length", "Messages in the queue; absent without Redis.", labels=["queue"]
    )
    for queue, length in queues.lengths(settings).items():
        lengths.add_metric([queue], length)
    return lengths
