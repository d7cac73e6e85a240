"""The machine and versions of a measurement: cores, processor, memory, libraries; without host names."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg
import redis

PACKAGES = ("celery", "psycopg", "pandas", "numpy", "pyarrow", "polars", "duckdb", "adbc-driver-postgresql")


def machine() -> dict[str, Any]:
    """Cores, processor model, memory in GB, and the kind of system."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions(database_url: str, redis_url: str) -> dict[str, str]:
    """Versions of Python, both servers and the libraries that are installed."""
    found = {"python": platform.python_version()}
    with psycopg.connect(database_url) as connection:
        found["postgresql"] = connection.info.parameter_status("server_version") or ""
    with redis.Redis.from_url(redis_url) as client:
        server: Any = client.info("server")
        found["redis"] = f"{server.get('server_name', 'redis')} {server.get('valkey_version', server['redis_version'])}"
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
