"""Fitting: a training run's challenger and its decision, and the check of the model in service.

Only the functions of analytics/ that fit import scikit-learn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from analytics import behaviour, cluster_names, clustering
from analytics.behaviour import Counts, Scale, Whole
from analytics.decisions import Decision, Losses, decide
from kinds.clusters.model import Clusters, bins_of, columns, missing_features
from kinds.libraries import require_libraries
from store import versions
from store.models import ModelVersion, Run

SEED = 20260101
CODE = "clusters-3"  # to change when the same data give other clusters
CUSTOMERS = 200  # with three visits; fewer are not enough for clusters
MEASURE = "distance ratio"  # to the own centre and the next one; lower is better


def train(session: Session, run: Run, counts: Counts) -> tuple[ModelVersion | None, float]:
    """Train, decide, and add the version; returns the better one of it and the version in service, and its stability.

    The version is None if no clusters are stable enough.
    """
    assert run.plan is not None and run.as_of is not None
    require_libraries()
    before = versions.of_plan(session, run)
    champion = None if before is None else Clusters.of(before.params)
    scale = behaviour.fit_scale(counts, *columns(run.plan))
    points = behaviour.features(counts, scale, *columns(run.plan))
    if not scale.names:
        return before, 0.0  # all customers are equal in all features
    wanted = run.plan["clusters"] or None
    start = None if champion is None else _start(champion, scale)
    chosen = clustering.choose(points, wanted, SEED, start)
    start = start if start is not None and len(start) == chosen.k else None
    least = clustering.STABLE if start is None else clustering.KEPT
    if chosen.k == 0 or (wanted is None and chosen.stability < least):
        return before, chosen.stability
    found = _model(champion, scale, points, clustering.fit(points, chosen.k, SEED, start), chosen.stability)
    decision, metrics = _decision(counts, run.plan, found, points, before, champion, start)
    added = versions.add(
        session,
        run,
        versions.Trained(
            family="k-means",
            params=found.stored(),
            trained_from=None,
            trained_to=run.as_of,
            seed=SEED,
            data_fingerprint=fingerprint(points, scale),
            code_version=CODE,
            metrics=metrics | {"clusters": chosen.k, "stability": chosen.stability},
            decision=decision.sentence,
        ),
        better=decision.promoted,
    )
    return added if added.status == "challenger" or before is None else before, chosen.stability


def _decision(
    counts: Counts,
    plan: Mapping[str, Any],
    found: Clusters,
    points: Whole,
    before: ModelVersion | None,
    champion: Clusters | None,
    start: Whole | None,
) -> tuple[Decision, dict[str, Any]]:
    """Compare challenger and champion on the half of the customers that the challenger is not fitted to.

    The baseline is k-means on independently shuffled features.
    """
    half = len(points) // 2
    centres = clustering.fit(points[:half], len(found.centres), SEED, start)
    generator = np.random.default_rng(SEED)
    shuffled = np.stack([generator.permutation(column) for column in points.T], axis=1)
    nothing = clustering.fit(shuffled[:half], len(found.centres), SEED)
    challenger = clustering.misfit(points[half:], centres)
    baseline = clustering.misfit(shuffled[half:], nothing)
    served, same, lost = None, False, []
    if champion is not None:
        lost = missing_features(champion.scale, plan)
        served = clustering.misfit(champion.points(counts, plan)[half:], champion.centres)
        same = len(champion.centres) == len(found.centres)
    metrics = {
        name: {"distance_ratio": round(float(loss.mean()), 6)}
        for name, loss in (("challenger", challenger), ("baseline", baseline), ("champion", served))
        if loss is not None
    }
    name = None if before is None else f"v{before.version}"
    if lost:
        named = ", ".join(feature.partition(":")[2] for feature in lost)
        return Decision(True, f"promoted over {name}, whose features no longer exist: {named}"), metrics
    if plan["clusters"] and not same and name:
        return Decision(True, f"promoted over {name}: CLUSTERS asks for {plan['clusters']} clusters"), metrics
    losses = Losses(served, challenger, baseline, np.ones(len(challenger)))
    return decide(losses, holdouts=1, champion=name, same_family=same, seed=SEED, measure=MEASURE), metrics


def _model(champion: Clusters | None, scale: Scale, points: Whole, centres: Whole, stability: float) -> Clusters:
    """The centres with ids: those of the champion's clusters that match, else new ones."""
    ids, next_id = list(range(1, len(centres) + 1)), len(centres) + 1
    if champion is not None:
        ids = clustering.matched_ids(_start(champion, scale), list(champion.ids), centres, champion.next_id)
        next_id = max(champion.next_id, *(number + 1 for number in ids))
    order = np.argsort(ids)  # so that of equally near centres the one with the lowest id is first
    centres, ids = centres[order], [ids[place] for place in order]
    told = cluster_names.describe(scale.names, centres)
    texts = {str(number): list(text) for number, text in zip(ids, told, strict=True)}
    return Clusters(scale, centres, ids, stability, next_id, texts, bins_of(points, scale.names))


def _start(champion: Clusters, scale: Scale) -> Whole:
    """The champion's centres in another scale; 0 in features that it did not have."""
    places = {name: place for place, name in enumerate(champion.scale.names)}
    found = np.zeros((len(champion.centres), len(scale.names)))
    for place, name in enumerate(scale.names):
        if name in places:
            was = places[name]
            raw = champion.centres[:, was] / behaviour.THOUSANDTHS * champion.scale.spread[was]
            moved = (raw + champion.scale.middle[was] - scale.middle[place]) / scale.spread[place]
            found[:, place] = np.clip(moved, -behaviour.CUT, behaviour.CUT) * behaviour.THOUSANDTHS
    return np.rint(found).astype(np.int64)


def fingerprint(points: Whole, scale: Scale) -> str:
    """SHA-256 over all data that the clusters depend on; equal data give equal fingerprints in any storage order."""
    digest = hashlib.sha256(json.dumps([CODE, SEED, scale.stored()], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(points).tobytes())
    return digest.hexdigest()


def watch(run: Run, counts: Counts, version: ModelVersion) -> dict[str, Any]:
    """Check the model in service: drift of the customers' features since its training."""
    assert run.plan is not None
    clusters = Clusters.of(version.params)
    return {"features": clusters.drifted(clusters.points(counts, run.plan))}
