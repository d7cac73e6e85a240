"""What kind of eater each customer is, beside how recent, how often and how much."""
