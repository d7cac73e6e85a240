"""Clusters of customers with similar behaviour: when, what and how they order."""
