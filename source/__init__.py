"""The CRM's orders: reading them, their ranges and windows, what changed, loading files, checks."""
