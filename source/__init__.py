"""The CRM's tables: reading orders, key ranges and time windows, changed rows, loading files, checks."""
