"""Whether each customer orders again, when, and what that is worth."""
