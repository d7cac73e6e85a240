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
