"""Customers by recency, frequency and monetary value."""
