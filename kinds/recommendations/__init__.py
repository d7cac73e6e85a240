"""Recommended items per customer, and the items that each segment orders in each daypart."""
