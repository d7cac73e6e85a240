"""A backtest's result in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from kinds.recommendations.models import MethodQuality

TITLES = {
    "personal": "the personal list",
    "daypart": "the daypart's best-seller list",
    "global": "today's best-seller list",
}


def quality(methods: Sequence[MethodQuality]) -> list[str]:
    """Sentences about these methods' lists; one if there was not enough data."""
    found = {each.method: each for each in methods}
    personal = found["personal"]
    if not personal.customers:
        return [
            "Not enough data: fewer than 200 customers came twice. Everybody gets what is popular.",
        ]
    others = "; ".join(
        f"{TITLES[name]}: {10 * found[name].hit_rate:.0f} of 10" for name in ("daypart", "global") if name in found
    )
    low, high = _interval(personal)
    return [
        f"For {10 * personal.hit_rate:.0f} of 10 next visits the personal list of ten held an item that was ordered;"
        f" {others}.",
        f"It held {personal.recall:.0%} of what was ordered (95 % interval {low:.0%} to {high:.0%}).",
        f"{personal.repeat_share:.0%} of its hits were items that the customer had ordered before,"
        f" {1 - personal.repeat_share:.0%} were new to the customer.",
        f"Published is {TITLES[next(each.method for each in methods if each.published)]}.",
        f"This was worked out afterwards from the visits of {personal.customers:,} customers. It does not say what"
        " people would have ordered had they seen the list.",
    ]


def _interval(method: MethodQuality) -> tuple[float, float]:
    """The 95 % interval of the mean recall."""
    half = 1.96 * method.recall_error
    return max(0.0, method.recall - half), min(1.0, method.recall + half)
