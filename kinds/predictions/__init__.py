"""Whether each customer orders again, when, and for how much."""
