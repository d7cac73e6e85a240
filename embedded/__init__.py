"""Running the whole system on one machine: PostgreSQL and Redis from wheels, generated orders, a process group."""
