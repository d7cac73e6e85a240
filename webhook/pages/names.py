"""English names of our terms on pages; the catalogues translate them.

Names of segments and dayparts are the owner's data; the default ones are translated if a catalogue has them.
"""

from __future__ import annotations

KINDS = {
    "rfm": "Customer segments",
    "menu": "Menu rankings",
    "recommendations": "Recommendations",
    "predictions": "Predictions",
    "clusters": "Clusters",
    "trends": "Trends",
}
MODES = {"full": "Everything", "incremental": "What has changed", "train": "Training"}
STATUSES = {
    "pending": "Waiting",
    "running": "Running",
    "succeeded": "Succeeded",
    "failed": "Failed",
    "cancelled": "Cancelled",
}
MODEL_STATUSES = {
    "champion": "In service",
    "challenger": "Challenger",
    "retired": "Retired",
    "rejected": "Rejected",
}
EVENT_STATES = {
    "waiting": "Waiting",
    "delivered": "Delivered",
    "failed": "Failed",
    "gone": "Receiver is gone",
}
METRICS = {
    "orders": "Orders",
    "revenue": "Revenue",
    "known_customers": "Known customers",
    "new_customers": "New customers",
    "average_ticket": "Average ticket",
}
# Kinds of the menu matrix: what they are called, and what to do with them.
MATRIX = {
    "star": ("Stars", "Popular and profitable: keep them as they are, and show them first."),
    "plough-horse": (
        "Plough-horses",
        "Popular, but they earn little: raise the price a little, or make them cheaper to cook.",
    ),
    "puzzle": ("Puzzles", "They earn well, but few order them: recommend them, rename them, move them up."),
    "dog": ("Dogs", "Neither popular nor profitable: take them off the menu, unless regulars come for them."),
}
FEATURES = {
    "weekend": "Visits on weekends",
    "ticket": "Amount of a visit",
    "basket": "Items of a visit",
    "variety": "Something new each time",
    "rhythm": "Irregular visits",
    "refunds": "Refunds",
}
# What generated names of clusters are made of (analytics/cluster_names.py).
PHRASES = (
    *("weekends", "weekdays", "something new each time", "the usual", "refunds", "no refunds", "like most"),
    *(
        degree + phrase
        for phrase in (
            "large bills",
            "small bills",
            "large baskets",
            "small baskets",
            "irregular visits",
            "regular visits",
        )
        for degree in ("", "rather ", "very ")
    ),
)
COMPARED = tuple(f"{degree}{more} %(name)s" for more in ("more", "less") for degree in ("", "a little ", "much "))
DIRECTIONS = {"rising": "↗", "falling": "↘", "steady": "→", "too_little_data": "–"}
BESIDE = ("last week", "four weeks' mean", "last year")
STAGES = {
    "aggregate": "Adding up each customer's purchases",
    "score": "Scoring customers",
    "tally": "Counting what was sold",
    "rank": "Ranking each daypart's items",
    "summarize": "Summarizing each customer's visits",
    "fit": "Fitting the model",
    "read": "Reading orders",
    "tune": "Tuning the model",
    "backtest": "Testing the model on past weeks",
    "profile": "Summarizing what each customer orders",
    "reduce": "Putting the parts together",
    "count": "Counting what each customer orders",
    "assign": "Assigning customers to clusters",
    "visits": "Counting customers per day",
    "compare": "Comparing all series",
}
SEGMENTS = (
    "Champions",
    "Loyal Customers",
    "Potential Loyalists",
    "New Customers",
    "Promising",
    "Need Attention",
    "About To Sleep",
    "At Risk",
    "Cannot Lose Them",
    "Hibernating",
    "Lost",
)
DAYPARTS = (
    "Early Breakfast",
    "Standard Breakfast",
    "Late Breakfast / Brunch",
    "Lunch",
    "Late Lunch",
    "Afternoon Tea / Snack",
    "Early Dinner",
    "Standard Dinner",
    "Late Dinner / Supper",
    "Midnight Snack",
    "Closed / No Service",
)
REASONS = {
    "behaviour": "own purchases",
    "cut_points": "the cut points moved",
    "settings": "the segment map or a setting changed",
}
