"""Servers from wheels, generated data and the local process group: what a laptop needs and a cluster brings itself."""
