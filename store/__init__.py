"""PostgreSQL: our tables, the CRM's orders, runs and what they publish."""
