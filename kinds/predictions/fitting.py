"""Fitting: a training run's challenger and its decision, and every run's check of the model in service.

Only the functions of analytics/ that fit import SciPy.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg import sql
from sqlalchemy.orm import Session

from analytics import spending, training
from analytics.btyd_fit import Cells
from analytics.calibration import BINS
from analytics.histories import STEP
from kinds.libraries import require_libraries
from kinds.predictions import rows
from kinds.predictions.model import Predictor, bins_of
from store import versions
from store.models import ModelVersion, Run

SEED = 20260101
CODE = "predictions-3"  # to change when the same data give other parameters


def train(session: Session, run: Run, customers: sql.Composable) -> ModelVersion:
    """Train, decide, and add the version; returns the better one of it and the version in service."""
    assert run.counts is not None and run.as_of is not None
    require_libraries()
    before = versions.of_plan(session, run)
    cells, histories = rows.cells(session, customers), rows.histories(session, customers)
    champion = None if before is None else Predictor.of(before.params).model
    found = training.train(histories, cells, champion, None if before is None else f"v{before.version}", SEED)
    x, cents = rows.spent(session, customers)
    mean = run.counts["cents"] / max(1, run.counts["occasions"])
    predictor = Predictor(found.model, spending.fit(x, cents, mean), bins_of(cells))
    params = predictor.stored()
    added = versions.add(
        session,
        run,
        versions.Trained(
            family=found.model.parameters.family,
            params=params,
            trained_from=_day(run, int(cells.t.max())),
            trained_to=run.as_of,
            seed=SEED,
            data_fingerprint=fingerprint(cells, histories, x, cents),
            code_version=CODE,
            metrics=found.metrics,
            decision=found.decision.sentence,
        ),
        better=found.decision.promoted,
    )
    return added if added.status == "challenger" or before is None else before


def fingerprint(cells: Cells, *sorted_data: Any) -> str:
    """SHA-256 over all data that the parameters depend on; equal data give equal fingerprints in any storage order."""
    digest = hashlib.sha256(json.dumps([CODE, SEED]).encode())
    for column in asdict(cells).values():
        digest.update(np.ascontiguousarray(column).tobytes())
    for each in sorted_data:
        columns = [np.sort(each)] if isinstance(each, np.ndarray) else asdict(each).values()
        for column in columns:
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()


def watch(session: Session, customers: sql.Composable, version: ModelVersion) -> dict[str, Any]:
    """Check the model in service: drift of its features, and its predictions for the last thirty days.

    `predicted` is the sum of the probabilities; the calibration error is over ten bins.
    """
    predictor = Predictor.of(version.params)
    known, ordered = rows.month(session, customers)
    found: dict[str, Any] = {"features": predictor.drifted(rows.cells(session, customers)), "last_month": None}
    if len(known.x):
        then = predictor.model.centred(known.x, known.t_x, known.t, known.count)
        p = then.p_order(known.x, known.t_x, known.t)[STEP]
        bins = np.minimum((p * BINS).astype(np.int64), BINS - 1)
        gap = np.bincount(bins, p * known.count, BINS) - np.bincount(bins, ordered, BINS)
        customers_then, predicted, actual = int(known.count.sum()), float(p @ known.count), int(ordered.sum())
        found["last_month"] = {
            "customers": customers_then,
            "predicted": round(predicted, 6),
            "actual": actual,
            "predicted_to_actual": round(predicted / actual, 6) if actual else None,
            "calibration_error": round(float(np.abs(gap).sum()) / customers_then, 6),
        }
    return found


def _day(run: Run, ago: int) -> datetime:
    assert run.as_of is not None
    return run.as_of - timedelta(days=ago)
