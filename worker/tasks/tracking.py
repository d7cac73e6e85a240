"""Sending model versions to an MLflow server (`MLFLOW_TRACKING_URI`): parameters, metrics and decision, by REST.

A version is sent once, after its training was committed; an error is logged and does not affect the training.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import httpx
import structlog

from settings import Settings
from store import versions
from store.database import transaction
from store.models import ModelVersion, Run

TIMEOUT = 10  # seconds
LONGEST = 6000  # characters of a parameter
TAG = "smartcrm.model_id"

log = structlog.get_logger("tracking")


def track(settings: Settings, run_id: str) -> None:
    """Send the version that a run has trained, if there is one and a server is set."""
    if not settings.mlflow_tracking_uri:
        return
    try:
        with transaction(settings.database_url) as session:
            run = session.get(Run, uuid.UUID(run_id))
            version = None if run is None else versions.of_run(session, run)
            if version is not None:
                _send(settings.mlflow_tracking_uri, version)
    except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
        log.warning("version not tracked", run_id=run_id, reason=f"{type(error).__name__}: {error}"[:300])


def _send(uri: str, version: ModelVersion) -> None:
    with httpx.Client(base_url=f"{uri.rstrip('/')}/api/2.0/mlflow/", timeout=TIMEOUT) as client:
        experiment = _experiment(client, f"smartcrm {version.kind}")
        known = {"experiment_ids": [experiment], "filter": f"tags.`{TAG}` = '{version.model_id}'", "max_results": 1}
        if _post(client, "runs/search", known).get("runs"):
            return
        begun, ended = (_milliseconds(version.created_at) for _ in range(2))
        tags = {TAG: str(version.model_id), "decision": version.decision}
        created = _post(
            client,
            "runs/create",
            {
                "experiment_id": experiment,
                "run_name": f"{version.kind} v{version.version}",
                "start_time": begun,
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
        )
        number = created["run"]["info"]["run_id"]
        params = {
            "family": version.family,
            "seed": version.seed,
            "data_fingerprint": version.data_fingerprint,
            "code_version": version.code_version,
            "trained_to": version.trained_to.isoformat(),
        } | {name: value for name, value in version.params.items() if isinstance(value, int | float | str)}
        batch = {
            "run_id": number,
            "params": [{"key": key, "value": str(value)[:LONGEST]} for key, value in params.items()],
            "metrics": [
                {"key": key, "value": value, "timestamp": begun, "step": 0} for key, value in _flat(version.metrics)
            ],
        }
        _post(client, "runs/log-batch", batch)
        _post(client, "runs/update", {"run_id": number, "status": "FINISHED", "end_time": ended})


def _experiment(client: httpx.Client, name: str) -> str:
    found = client.get("experiments/get-by-name", params={"experiment_name": name})
    if found.status_code == httpx.codes.NOT_FOUND:
        return str(_post(client, "experiments/create", {"name": name})["experiment_id"])
    found.raise_for_status()
    return str(found.json()["experiment"]["experiment_id"])


def _post(client: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return dict(answer.json())


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Nested numbers by their path, such as `challenger.30d.log_loss`."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
