"""Training: parameters are tuned on the sample, compared with the champion's, and adopted if they are better."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import delete
from sqlalchemy.orm import Session

from analytics.recommendations.evaluation import Outcomes
from analytics.recommendations.gate import LEAST_CUSTOMERS
from analytics.recommendations.parameters import Parameters
from analytics.recommendations.tuning import is_better, tuned
from errors import RequestError
from kinds.base import Counts
from kinds.recommendations import backtest, state
from kinds.recommendations.models import StoredOutcomes
from settings import Settings
from source.window import EPOCH
from store import versions
from store.models import ModelVersion, Run
from store.parts import Claim
from store.versions import Trained

SEED = 20260101
TUNED = -1  # the fold number under which tuning's result is stored
HOLDOUTS = 3  # the last folds, on which the decision is based
FAMILY = "own history and item pairs"
CODE_VERSION = "1"  # of the method; parameters of another version can't be used


def tune(settings: Settings, claimed: Claim) -> Counts:
    """Choose the challenger's parameters, and store them with the training data's fingerprint."""
    session, run = claimed.session, claimed.run
    assert run.plan is not None
    items = state.item_ids(session, run.generation)
    judged = backtest.sample(session, run, items)
    learners = int((judged.histories.visits >= 2).sum())
    parameters = Parameters()
    if learners >= LEAST_CUSTOMERS:
        half = (judged.hashes & np.uint64(1)).astype(bool)
        counts = {"items": len(items), "dayparts": state.dayparts(run.plan)}
        parameters, _ = tuned(judged.histories, judged.guests, half, item_ids=items, **counts)
    times = judged.histories.times
    found = {
        "parameters": parameters.stored(),
        "fingerprint": _fingerprint(judged, run.plan),
        "first": int(times.min()) if len(times) else None,
    }
    where = (StoredOutcomes.generation == run.generation) & (StoredOutcomes.fold == TUNED)
    session.execute(delete(StoredOutcomes).where(where))
    session.add(StoredOutcomes(generation=run.generation, fold=TUNED, data=json.dumps(found).encode()))
    session.flush()
    return {"tuned_on_customers": learners}


def found_by(session: Session, run: Run) -> dict[str, Any]:
    """The result of the run's tuning."""
    return dict(json.loads(session.get_one(StoredOutcomes, (run.generation, TUNED)).data))


def contenders(session: Session, run: Run) -> dict[str, Parameters]:
    """The parameters that a run's backtest compares, by name."""
    assert run.plan is not None
    found = {"champion": state.parameters(run)} if run.mode != "train" or run.plan["champion"] is not None else {}
    if run.mode == "train":
        found["challenger"] = Parameters.of(found_by(session, run)["parameters"])
    return found


def decide(session: Session, run: Run) -> None:
    """Store the challenger with the decision, and use the better one's parameters from here on."""
    assert run.plan is not None and run.as_of is not None
    tuning, folds = found_by(session, run), backtest.folds(session, run)
    before = run.plan["champion"]
    differences = [fold["challenger"].gain - fold["champion"].gain for fold in folds[-HOLDOUTS:] if "champion" in fold]
    better = before is None or is_better(np.concatenate([*differences, np.empty(0)]), SEED)
    trained = Trained(
        family=FAMILY,
        params=tuning["parameters"],
        trained_from=_instant(tuning["first"]),
        trained_to=run.as_of,
        seed=SEED,
        data_fingerprint=tuning["fingerprint"],
        code_version=CODE_VERSION,
        metrics=_metrics(folds[-HOLDOUTS:]),
        decision=_decision(before, better, bool(differences)),
    )
    found = versions.add(session, run, trained, better=better)
    if found.status == "challenger":
        run.plan = run.plan | {"champion": found.version, "parameters": dict(found.params)}
        run.counts = {"chosen": "challenger"}
    session.flush()


def _decision(before: int | None, better: bool, compared: bool) -> str:
    if before is None:
        return "It is the first version."
    if better:
        return f"Its lists gained more than version {before}'s on the last {HOLDOUTS} holdouts (80 % bootstrap bound)."
    if not compared:
        return f"Too few customers came twice to compare it with version {before}."
    return f"Its lists did not surely gain more than version {before}'s on the last {HOLDOUTS} holdouts."


def _metrics(folds: Sequence[Mapping[str, Outcomes]]) -> dict[str, Any]:
    """Recall and gain at 10 over these folds' customers."""
    names = {"champion": "champion", "challenger": "challenger", "daypart": "baseline"}
    return {
        title: {
            "recall": float(np.concatenate([fold[name].recall for fold in folds]).mean()),
            "ndcg": float(np.concatenate([fold[name].gain for fold in folds]).mean()),
        }
        for name, title in names.items()
        if folds and name in folds[0] and sum(len(fold[name].recall) for fold in folds)
    }


def _fingerprint(judged: backtest.Sample, plan: Mapping[str, Any]) -> str:
    """A hash of the sample, independent of the order of reading, and of the settings that it depends on."""
    order = np.argsort(judged.hashes, kind="stable")
    digest = hashlib.sha256(judged.hashes[order].tobytes())
    for histories in (judged.histories, judged.guests):
        digest.update(np.sort(histories.times).tobytes())
        digest.update(np.sort(histories.items).tobytes())
    settings = {name: plan[name] for name in ("timezone", "business_day_start", "lookback_days", "dayparts")}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def _instant(microseconds: int | None) -> datetime | None:
    epoch = datetime.fromisoformat(f"{EPOCH}T00:00:00+00:00")
    return None if microseconds is None else epoch + timedelta(microseconds=microseconds)


def check(model: ModelVersion) -> None:
    """Check that lists can still be made with a version's parameters.

    Raises
    ------
    RequestError
        When they are another method's.
    """
    if model.code_version != CODE_VERSION:
        raise RequestError(
            f"Version {model.version} was trained by another version of the method.", code="model_unusable"
        )
